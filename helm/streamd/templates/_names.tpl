{{/* Names, labels and addresses. */}}

{{- define "streamd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* 40: pods, Services and the revisions of a StatefulSet put more behind it, up to 63. */}}
{{- define "streamd.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := include "streamd.name" . }}
{{- $whole := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- $whole | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The headless Service, which gives pods their names. */}}
{{- define "streamd.replicasName" -}}
{{- printf "%s-replicas" (include "streamd.fullname" .) }}
{{- end }}

{{- define "streamd.selectorLabels" -}}
app.kubernetes.io/name: {{ include "streamd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "streamd.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{ include "streamd.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Without the chart's version: a new one alone replaces no pod. */}}
{{- define "streamd.podLabels" -}}
{{ include "streamd.selectorLabels" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "streamd.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "streamd.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "streamd.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag }}
{{- if and .Values.gpu.enabled (not .Values.image.tag) }}
{{- $tag = printf "%s-cuda" $tag }}
{{- end }}
{{- $name := .Values.image.repository }}
{{- with .Values.image.registry }}
{{- $name = printf "%s/%s" (trimSuffix "/" .) $name }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $name .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $name $tag }}
{{- end }}
{{- end }}

{{- define "streamd.scheme" -}}
{{ .Values.tls.enabled | ternary "https" "http" }}
{{- end }}

{{/* Where pods of this release are told to reach the API: the Service. */}}
{{- define "streamd.serviceUrl" -}}
{{- printf "%s://%s.%s.svc.%s:%v" (include "streamd.scheme" .) (include "streamd.fullname" .) .Release.Namespace .Values.clusterDomain .Values.service.port }}
{{- end }}

{{/* The URL people use from outside; empty where there is none. */}}
{{- define "streamd.publicUrl" -}}
{{- if and .Values.ingress.enabled .Values.ingress.host }}
{{- printf "%s://%s" (not (empty .Values.ingress.tlsSecret) | ternary "https" "http") .Values.ingress.host }}
{{- else if and .Values.gateway.enabled .Values.gateway.host }}
{{- printf "%s://%s" (.Values.gateway.tls | ternary "https" "http") .Values.gateway.host }}
{{- end }}
{{- end }}

{{/* Whether there may be several pods. */}}
{{- define "streamd.hasCompany" -}}
{{- if or (gt (int .Values.replicaCount) 1) .Values.autoscaling.enabled }}true{{ end }}
{{- end }}

{{/* How many pods the cluster has, or the autoscaler wants; empty where nobody knows. */}}
{{- define "streamd.replicasNow" -}}
{{- $name := include "streamd.fullname" . }}
{{- $set := lookup "apps/v1" "StatefulSet" .Release.Namespace $name }}
{{- $scaler := lookup "autoscaling/v2" "HorizontalPodAutoscaler" .Release.Namespace $name }}
{{- dig "spec" "replicas" (dig "status" "desiredReplicas" "" $scaler) $set }}
{{- end }}

{{/* How many replicas have a host of their own; the argument is ingress.perReplica or gateway's. */}}
{{- define "streamd.perReplicaCount" -}}
{{- $values := .root.Values }}
{{- $all := $values.autoscaling.enabled | ternary $values.autoscaling.maxReplicas $values.replicaCount }}
{{- .perReplica.count | default $all | int }}
{{- end }}

{{/* The URL of one pod; $(POD_NAME) and $(POD_INDEX) are filled in by the kubelet. */}}
{{- define "streamd.replicaUrl" -}}
{{- if .Values.replicaUrl }}
{{- .Values.replicaUrl }}
{{- else if and .Values.ingress.enabled .Values.ingress.perReplica.enabled }}
{{- printf "%s://%s" (not (empty .Values.ingress.tlsSecret) | ternary "https" "http") (replace "%d" "$(POD_INDEX)" .Values.ingress.perReplica.host) }}
{{- else if and .Values.gateway.enabled .Values.gateway.perReplica.enabled }}
{{- printf "%s://%s" (.Values.gateway.tls | ternary "https" "http") (replace "%d" "$(POD_INDEX)" .Values.gateway.perReplica.host) }}
{{- else }}
{{- printf "%s://$(POD_NAME).%s.%s.svc.%s:8700" (include "streamd.scheme" .) (include "streamd.replicasName" .) .Release.Namespace .Values.clusterDomain }}
{{- end }}
{{- end }}

{{/* Seconds from the pod's end being known to SIGKILL. */}}
{{- define "streamd.gracePeriod" -}}
{{- $drain := add (int .Values.preStopSeconds) (dig "server" "drain_seconds" 20 .Values.config | ceil | int) }}
{{- .Values.terminationGracePeriodSeconds | default (add $drain 15) | int }}
{{- end }}

{{- define "streamd.keysSecret" -}}
{{- .Values.auth.existingSecret | default (printf "%s-keys" (include "streamd.fullname" .)) }}
{{- end }}

{{- define "streamd.keysFile" -}}
{{- not (empty .Values.auth.existingSecret) | ternary .Values.auth.existingSecretKey "credentials.json" }}
{{- end }}

{{- define "streamd.tlsSecret" -}}
{{- .Values.tls.existingSecret | default (printf "%s-tls" (include "streamd.fullname" .)) }}
{{- end }}

{{- define "streamd.settingsSecret" -}}
{{- printf "%s-settings" (include "streamd.fullname" .) }}
{{- end }}
