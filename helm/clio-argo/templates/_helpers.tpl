{{- define "clio-argo.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "clio-argo.fullname" -}}
{{- $name := include "clio-argo.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of the emitted document; pods and workflows carry them, so they do not change with the release. */}}
{{- define "clio-argo.appLabels" -}}
{{- $own := dict "app.kubernetes.io/name" "clio-argo" "app.kubernetes.io/version" .Chart.AppVersion "app.kubernetes.io/managed-by" "clio-argo" -}}
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
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else if .root.Values.requireDigests -}}
{{- fail (printf "image %s has no digest: set images.*.digest, so that a run keeps its image" .image.repository) -}}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}
