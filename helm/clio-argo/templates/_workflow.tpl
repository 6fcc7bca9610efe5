{{/*
The specification that the library emits (files/workflowtemplate.yaml), with this release's values in the places
where ClusterSettings puts them. A test compares the two for several values.
*/}}
{{- define "clio-argo.template" -}}
{{- printf "%s-%s-%s" (include "clio-argo.fullname" .) .Chart.AppVersion (include "clio-argo.spec" . | sha256sum | trunc 8) -}}
{{- end -}}

{{/* Neither Helm nor Argo CD deletes a template that running workflows may use; `template prune` does. */}}
{{- define "clio-argo.kept" -}}
helm.sh/resource-policy: keep
argocd.argoproj.io/sync-options: Prune=false
argocd.argoproj.io/compare-options: IgnoreExtraneous
{{- end -}}

{{- define "clio-argo.spec" -}}
{{- $values := .Values -}}
{{- $spec := (.Files.Get "files/workflowtemplate.yaml" | fromYaml).spec -}}
{{- $appLabels := include "clio-argo.appLabels" . | fromYaml -}}
{{- range $template := $spec.templates }}{{ if $template.container -}}
  {{- include "clio-argo.container" (dict "template" $template "worker" (hasKey $template.metadata.labels "clio-argo/workers") "root" $) -}}
{{- end }}{{ end -}}
{{- range $spec.arguments.parameters -}}
  {{- if eq .name "approval" }}{{ $_ := set . "value" $values.approval.default }}{{ end -}}
  {{- if eq .name "approval_wait" }}{{ $_ := set . "value" $values.approval.wait }}{{ end -}}
  {{- if eq .name "approval_otherwise" }}{{ $_ := set . "value" $values.approval.otherwise }}{{ end -}}
{{- end -}}
{{- $_ := set $spec "parallelism" (int $values.parallelism) -}}
{{- $_ := set $spec "activeDeadlineSeconds" (mul (int $values.deadlineHours) 3600) -}}
{{- $_ := set $spec "archiveLogs" (not (empty $values.artifacts)) -}}
{{- $_ := set $spec "serviceAccountName" (include "clio-argo.account" (dict "role" "worker" "root" .)) -}}
{{- $_ := set $spec.executor "serviceAccountName" (include "clio-argo.account" (dict "role" "executor" "root" .)) -}}
{{- $_ := set $spec "securityContext" (include "clio-argo.podSecurityContext" . | fromYaml) -}}
{{- range $spec.volumes }}{{ if eq .name "tmp" }}{{ $_ := set .emptyDir "sizeLimit" $values.tmpSize }}{{ end }}{{ end -}}
{{- range $values.volumes -}}
  {{- $_ := set $spec "volumes" (append $spec.volumes (merge (dict "name" .name) .source)) -}}
{{- end -}}
{{- with $values.imagePullSecrets }}{{ $_ := set $spec "imagePullSecrets" . }}{{ end -}}
{{- with $values.priorityClass }}{{ $_ := set $spec "podPriorityClassName" . }}{{ end -}}
{{- $_ := set $spec.podMetadata "labels" $appLabels -}}
{{- with $values.podAnnotations }}{{ $_ := set $spec.podMetadata "annotations" . }}{{ end -}}
{{- $_ := set $spec.workflowMetadata "labels" $appLabels -}}
{{- $_ := set $spec.podGC "deleteDelayDuration" $values.cleanup.podDelay -}}
{{- $_ := set $spec.ttlStrategy "secondsAfterSuccess" (mul (int $values.cleanup.successDays) 86400) -}}
{{- $_ := set $spec.ttlStrategy "secondsAfterFailure" (mul (int $values.cleanup.failureDays) 86400) -}}
{{- toYaml $spec -}}
{{- end -}}

{{/* One container template: (dict "template" TEMPLATE "worker" BOOLEAN "root" .); changes it in place. */}}
{{- define "clio-argo.container" -}}
{{- $values := .root.Values -}}{{- $template := .template -}}{{- $container := .template.container -}}
{{- range $name, $image := $values.images -}}
  {{- if hasPrefix (printf "clio-argo-%s:" $name) $container.image -}}
    {{- $_ := set $container "imagePullPolicy" ($image.pullPolicy | default $values.imagePullPolicy) -}}
    {{- $_ := set $container "image" (include "clio-argo.image" (dict "image" $image "root" $.root)) -}}
  {{- end -}}
{{- end -}}
{{- with $values.cpu }}{{ $_ := set $container.resources.requests "cpu" . }}{{ end -}}
{{- $memory := $values.memoryMaxMib | int | toString -}}
{{- $_ := set $template "podSpecPatch" (regexReplaceAll ", [0-9]+\\)\\)}}Mi" $template.podSpecPatch (printf ", %s))}}Mi" $memory)) -}}
{{- $folders := list -}}{{- range $values.volumes }}{{ $folders = append $folders .mountPath }}{{ end -}}
{{- $ours := dict
  "CLIO_IMAGE" $container.image
  "CLIO_MEMORY_MAX_MIB" $memory
  "CLIO_MOUNTED" (join ":" $folders)
  "CLIO_PARALLELISM" ($values.parallelism | int | toString) -}}
{{- range $container.env }}{{ if hasKey $ours .name }}{{ $_ := set . "value" (get $ours .name) }}{{ end }}{{ end -}}
{{- range $name := keys $values.env | sortAlpha -}}
  {{- $_ := set $container "env" (append $container.env (dict "name" $name "value" (get $values.env $name))) -}}
{{- end -}}
{{- range $values.volumes -}}
  {{- $mount := dict "name" .name "mountPath" .mountPath -}}
  {{- if .readOnly }}{{ $_ := set $mount "readOnly" true }}{{ end -}}
  {{- $_ := set $container "volumeMounts" (append $container.volumeMounts $mount) -}}
{{- end -}}
{{- if $template.serviceAccountName -}}
  {{- $_ := set $template "serviceAccountName" (include "clio-argo.account" (dict "role" "notifier" "root" .root)) -}}
{{- else if $template.timeout -}}
  {{- $_ := set $template "timeout" $values.stepTimeout -}}
{{- end -}}
{{- $secrets := dict "clio-argo-notification" $values.notificationSecret "clio-argo-registration" $values.registrationSecret -}}
{{- range $container.envFrom }}{{ $_ := set .secretRef "name" (get $secrets .secretRef.name) }}{{ end -}}
{{- /* what follows a stack while it is recorded has no limits */ -}}
{{- if $template.retryStrategy.limit -}}
  {{- $_ := set $template.retryStrategy "limit" ($values.retries.limit | int | toString) -}}
{{- end -}}
{{- $_ := set $template.retryStrategy.backoff "duration" $values.retries.wait -}}
{{- $_ := set $template.retryStrategy.backoff "cap" $values.retries.longest -}}
{{- include "clio-argo.artifacts" (dict "template" $template "artifacts" $values.artifacts) -}}
{{- $place := ternary $values.workers $values.others .worker -}}
{{- with $place.affinity }}{{ $_ := set $template "affinity" . }}{{ end -}}
{{- with $place.topologySpreadConstraints -}}
  {{- $patch := printf "%s,\"topologySpreadConstraints\":%s}" (trimSuffix "}" $template.podSpecPatch) (toRawJson .) -}}
  {{- $_ := set $template "podSpecPatch" $patch -}}
{{- end -}}
{{- with $place.nodeSelector }}{{ $_ := set $template "nodeSelector" . }}{{ end -}}
{{- with $place.tolerations }}{{ $_ := set $template "tolerations" . }}{{ end -}}
{{- if and .worker $values.workerAnnotations }}{{ $_ := set $template.metadata "annotations" $values.workerAnnotations }}{{ end -}}
{{- end -}}

{{/* Where reports go: (dict "template" TEMPLATE "artifacts" VALUES); changes it in place. */}}
{{- define "clio-argo.artifacts" -}}
{{- $artifacts := .artifacts -}}
{{- if and .template.outputs (not $artifacts) }}{{ $_ := unset .template.outputs "artifacts" }}{{ end -}}
{{- range dig "outputs" "artifacts" list .template -}}
  {{- $place := dict "key" (printf "%s/%s/" $artifacts.prefix .name) -}}
  {{- with $artifacts.bucket }}{{ $_ := set $place "bucket" . }}{{ end -}}
  {{- $_ := unset . "gcs" -}}
  {{- $_ := set . $artifacts.kind $place -}}
{{- end -}}
{{- end -}}

{{/* What Argo's UI shows of a template: (list . WHICH). */}}
{{- define "clio-argo.shown" -}}
{{- $emitted := (index . 0).Files.Get "files/workflowtemplate.yaml" | fromYaml -}}
workflows.argoproj.io/title: {{ printf "Align slices into a volume (%s)" (index . 1) | quote }}
workflows.argoproj.io/description: {{ get $emitted.metadata.annotations "workflows.argoproj.io/description" | quote }}
{{- end -}}
