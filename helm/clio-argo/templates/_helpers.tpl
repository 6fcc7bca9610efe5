{{- define "clio-argo.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "clio-argo.fullname" -}}
{{- $name := include "clio-argo.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Name of the service account of a role: (dict "role" ROLE "root" .) */}}
{{- define "clio-argo.account" -}}
{{- (get .root.Values.accounts .role).name | default (printf "%s-%s" (include "clio-argo.fullname" .root) .role) -}}
{{- end -}}

{{/* Labels of the emitted document; pods and workflows carry them, so they do not change with the chart's version. */}}
{{- define "clio-argo.appLabels" -}}
{{- $own := dict
  "app.kubernetes.io/name" "clio-argo"
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" "clio-argo" -}}
{{- mergeOverwrite $own .Values.labels | toYaml -}}
{{- end -}}

{{/* Labels of the release's own objects. */}}
{{- define "clio-argo.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" .Chart.Name
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version) -}}
{{- mergeOverwrite $own .Values.labels | toYaml -}}
{{- end -}}

{{/* Reference of an image: (dict "image" VALUES "root" .) */}}
{{- define "clio-argo.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else if .root.Values.requireDigests -}}
{{- fail (printf "image %s has no digest: set images.*.digest, so that a run keeps its image" .image.repository) -}}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{/*
What is missing where images name no place from which a node could pull them; empty if all do. Who names a tag, or says
that nodes have them (pullPolicy: Never), has loaded them into the nodes.
*/}}
{{- define "clio-argo.nowhere" -}}
{{- $lost := list -}}
{{- range $name, $image := .Values.images -}}
  {{- $placed := or $.Values.global.imageRegistry $image.registry (contains "/" $image.repository) -}}
  {{- $loaded := or $image.tag $image.digest (eq "Never" ($image.pullPolicy | default $.Values.imagePullPolicy)) -}}
  {{- if not (or $placed $loaded) }}{{ $lost = append $lost $image.repository }}{{ end -}}
{{- end -}}
{{- if $lost -}}
no registry is set for {{ join " and " $lost }}, so no node can pull {{ ternary "them" "it" (gt (len $lost) 1) }}: helm upgrade with --set global.imageRegistry=HOST/PATH, or install the chart of a release, which names its own
{{- end -}}
{{- end -}}

{{/* Security context of all pods. */}}
{{- define "clio-argo.podSecurityContext" -}}
{{- $own := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- if ne (toString .Values.uid) "platform" -}}
  {{- range list "runAsUser" "runAsGroup" "fsGroup" }}{{ $_ := set $own . (int $.Values.uid) }}{{ end -}}
{{- end -}}
{{- range $key, $value := .Values.podSecurityContext }}{{ $_ := set $own $key $value }}{{ end -}}
{{- toYaml $own -}}
{{- end -}}

{{/*
Templates of earlier revisions that stay in the release, and whether Helm may delete them later: {NAME: keep | retired}.
Those stay that a running workflow uses, and the newest ones. Helm deletes nothing that carries its annotation `keep`,
so one that goes loses it with one upgrade and is left out by the next. Without a cluster there are none.
*/}}
{{- define "clio-argo.earlier" -}}
{{- $used := dict -}}{{- $found := dict -}}{{- $stay := dict -}}
{{- range (lookup "argoproj.io/v1alpha1" "Workflow" .Release.Namespace "").items -}}
  {{- if not (has (dig "status" "phase" "" .) (list "Succeeded" "Failed" "Error")) -}}
    {{- $_ := set $used (dig "spec" "workflowTemplateRef" "name" "" .) true -}}
  {{- end -}}
{{- end -}}
{{- range (lookup "argoproj.io/v1alpha1" "WorkflowTemplate" .Release.Namespace "").items -}}
  {{- $ours := eq (dig "metadata" "annotations" "meta.helm.sh/release-name" "" .) $.Release.Name -}}
  {{- $current := hasKey (.metadata.labels | default dict) "clio-argo/current" -}}
  {{- if and $ours (not $current) (ne .metadata.name (include "clio-argo.template" $)) -}}
    {{- $kept := eq (dig "metadata" "annotations" "helm.sh/resource-policy" "" .) "keep" -}}
    {{- $_ := set $found (printf "%s %s" .metadata.creationTimestamp .metadata.name) (dict "name" .metadata.name "kept" $kept) -}}
  {{- end -}}
{{- end -}}
{{- range $index, $key := keys $found | sortAlpha | reverse -}}
  {{- $one := get $found $key -}}
  {{- if or (hasKey $used $one.name) (lt $index (int $.Values.revisionHistoryLimit)) -}}
    {{- $_ := set $stay $one.name "keep" -}}
  {{- else if $one.kept -}}
    {{- $_ := set $stay $one.name "retired" -}}
  {{- end -}}
{{- end -}}
{{- toYaml $stay -}}
{{- end -}}
