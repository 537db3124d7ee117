{{/* Parts that the pods of the chart share. */}}

{{/* A variable for every secret setting. */}}
{{- define "streamd.secretEnv" -}}
{{- $settings := include "streamd.settingsSecret" . }}
{{- range $section, $keys := .Values.secrets }}
{{- range $key, $value := $keys }}
{{- if or (hasKey $value "value") (hasKey $value "existingSecret") }}
{{- include "streamd.secretVariable" (dict "path" (list (upper $section) (upper $key)) "source" $value "settings" $settings) }}
{{- else }}
{{- /* A camera and its url, or webhook.headers and one of them. */}}
{{- range $name, $source := $value }}
{{- $path := eq $section "cameras" | ternary (list "CAMERAS" $key (upper $name)) (list (upper $section) (upper $key) $name) }}
{{- include "streamd.secretVariable" (dict "path" $path "source" $source "settings" $settings) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "streamd.secretVariable" -}}
{{- $name := printf "STREAMD_%s" (join "__" .path) }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ .source.existingSecret | default .settings }}
      key: {{ not (empty .source.existingSecret) | ternary .source.key $name }}
{{ end }}

{{/* The same as the data of the chart's own Secret: what is given as a value. */}}
{{- define "streamd.secretData" -}}
{{- range $section, $keys := .Values.secrets }}
{{- range $key, $value := $keys }}
{{- if hasKey $value "value" }}
STREAMD_{{ upper $section }}__{{ upper $key }}: {{ $value.value | b64enc }}
{{ else if not (hasKey $value "existingSecret") }}
{{- range $name, $source := $value }}
{{- if hasKey $source "value" }}
{{- $path := eq $section "cameras" | ternary (list "CAMERAS" $key (upper $name)) (list (upper $section) (upper $key) $name) }}
STREAMD_{{ join "__" $path }}: {{ $source.value | b64enc }}
{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "streamd.postgresqlEnv" -}}
{{- with .Values.postgresql }}
{{- if and .host .existingSecret }}
- name: PGUSER
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .usernameKey }}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .passwordKey }}
{{- end }}
{{- end }}
{{- end }}

{{/* Who is trusted, in the words of OpenSSL and of boto3. */}}
{{- define "streamd.trustEnv" -}}
{{- if or .Values.trustedCa.existingSecret .Values.trustedCa.existingConfigMap }}
- name: SSL_CERT_FILE
  value: /etc/streamd/ca/ca.crt
- name: AWS_CA_BUNDLE
  value: /etc/streamd/ca/ca.crt
{{- end }}
{{- end }}

{{- define "streamd.trustVolume" -}}
{{- with .Values.trustedCa }}
{{- if .existingSecret }}
- name: ca
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: 0444
    items:
      - key: {{ .key }}
        path: ca.crt
{{- else if .existingConfigMap }}
- name: ca
  configMap:
    name: {{ .existingConfigMap }}
    items:
      - key: {{ .key }}
        path: ca.crt
{{- end }}
{{- end }}
{{- end }}

{{- define "streamd.trustMount" -}}
{{- if or .Values.trustedCa.existingSecret .Values.trustedCa.existingConfigMap }}
- name: ca
  mountPath: /etc/streamd/ca
  readOnly: true
{{- end }}
{{- end }}

{{- define "streamd.postgresqlVolume" -}}
{{- with .Values.postgresql }}
{{- if and .host .caSecret }}
- name: postgresql
  secret:
    secretName: {{ .caSecret }}
    defaultMode: 0444
    items:
      - key: {{ .caKey }}
        path: ca.crt
{{- end }}
{{- end }}
{{- end }}

{{- define "streamd.postgresqlMount" -}}
{{- if and .Values.postgresql.host .Values.postgresql.caSecret }}
- name: postgresql
  mountPath: /etc/streamd/postgresql
  readOnly: true
{{- end }}
{{- end }}

{{/* Volumes of `files`: one for all. */}}
{{- define "streamd.filesVolume" -}}
{{- if .Values.files }}
- name: files
  projected:
    defaultMode: 0440
    sources:
      {{- range $section, $keys := .Values.files }}
      {{- range $key, $source := $keys }}
      - {{ not (empty $source.existingSecret) | ternary "secret" "configMap" }}:
          name: {{ $source.existingSecret | default $source.existingConfigMap }}
          items:
            - key: {{ $source.key }}
              path: {{ $section }}/{{ $key }}
      {{- end }}
      {{- end }}
{{- end }}
{{- end }}

{{/* What all pods of the chart say before their containers. */}}
{{- define "streamd.podCommon" -}}
automountServiceAccountToken: {{ .Values.serviceAccount.automountServiceAccountToken }}
# A Service named streamd would put variables STREAMD_… into every pod, and streamd refuses
# variables it does not know.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A probe: where it asks, and the user's numbers. */}}
{{- define "streamd.probe" -}}
{{- $ask := dict "httpGet" (dict "path" .path "port" "http" "scheme" (include "streamd.scheme" .root | upper)) }}
{{- mergeOverwrite $ask .probe | toYaml }}
{{- end }}
