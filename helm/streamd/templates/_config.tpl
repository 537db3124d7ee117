{{/* streamd.toml: what `config` says, and what the chart decides itself. */}}

{{/* The settings as one map, in JSON. */}}
{{- define "streamd.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $server := dict "listen" "0.0.0.0:8700" "data_dir" "/var/lib/streamd" }}
{{- if .Values.tls.enabled }}
{{- $_ := set $server "tls_cert" "/etc/streamd/tls/tls.crt" }}
{{- $_ := set $server "tls_key" "/etc/streamd/tls/tls.key" }}
{{- end }}
{{- with include "streamd.publicUrl" . }}
{{- if not (dig "server" "public_url" "" $config) }}
{{- $_ := set $server "public_url" . }}
{{- end }}
{{- end }}
{{- $analysis := dict }}
{{- /* The cores of the node are not the pod's: share out what it was given. */}}
{{- $cores := include "streamd.cores" . | int }}
{{- if and $cores (not (hasKey (default dict $config.server) "workers")) }}
{{- $workers := max 1 (div $cores 2) }}
{{- $_ := set $server "workers" $workers }}
{{- if not (hasKey (default dict $config.analysis) "threads") }}
{{- $_ := set $analysis "threads" (max 1 (div $cores $workers)) }}
{{- end }}
{{- end }}
{{- $auth := dict "mode" .Values.auth.mode }}
{{- if eq .Values.auth.mode "sigv4" }}
{{- $_ := set $auth "credentials_file" (printf "/etc/streamd/keys/%s" (include "streamd.keysFile" .)) }}
{{- else }}
{{- $_ := set $auth "insecure" true }}
{{- end }}
{{- $models := dict }}
{{- if .Values.models.volume }}
{{- $_ := set $models "dir" "/models" }}
{{- end }}
{{- if .Values.models.mirrorVolume }}
{{- $_ := set $models "mirror" "/mirror" }}
{{- end }}
{{- if and .Values.gpu.enabled (not (hasKey (default dict $config.models) "providers")) }}
{{- $_ := set $models "providers" (list "cuda" "cpu") }}
{{- end }}
{{- $own := dict "server" $server "auth" $auth "models" $models "analysis" $analysis }}
{{- with include "streamd.postgresqlUrl" . }}
{{- $_ := set $own "store" (dict "url" .) }}
{{- end }}
{{- range $section, $keys := .Values.files }}
{{- range $key, $_ := $keys }}
{{- $_ := set $own $section (merge (dict $key (printf "/etc/streamd/files/%s/%s" $section $key)) (default dict (get $own $section))) }}
{{- end }}
{{- end }}
{{- mergeOverwrite $config $own | toJson }}
{{- end }}

{{/* The settings as TOML: JSON's strings, numbers, booleans and lists are TOML's, too. */}}
{{- define "streamd.toml" -}}
{{- range $section, $keys := include "streamd.config" . | fromJson }}
{{- if eq $section "cameras" }}
{{- range $name, $camera := $keys }}
{{- include "streamd.tomlSection" (dict "name" (printf "cameras.%q" $name) "keys" $camera) }}
{{- end }}
{{- else }}
{{- include "streamd.tomlSection" (dict "name" $section "keys" $keys) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "streamd.tomlSection" -}}
{{- if .keys }}
[{{ .name }}]
{{- range $key, $value := .keys }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }} = {{ toRawJson $value }}
{{- end }}
{{- end }}
{{ end }}
{{- end }}

{{/* URL of the store where postgresql.host names it; user and password are in the environment. */}}
{{- define "streamd.postgresqlUrl" -}}
{{- with .Values.postgresql }}
{{- if .host }}
{{- $root := not (empty .caSecret) | ternary "&sslrootcert=/etc/streamd/postgresql/ca.crt" (eq .sslMode "verify-full" | ternary "&sslrootcert=system" "") }}
{{- printf "postgresql://%s:%v/%s?sslmode=%s%s" .host .port .database .sslMode $root }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether the store is PostgreSQL. */}}
{{- define "streamd.hasPostgresql" -}}
{{- $url := dig "store" "url" "" .Values.config }}
{{- if or .Values.postgresql.host (dig "store" "url" "" .Values.secrets) (hasPrefix "postgres" $url) }}true{{ end }}
{{- end }}

{{/* Whole cores of the limit, else of the request; 0 where neither is set. */}}
{{- define "streamd.cores" -}}
{{- $cpu := dig "limits" "cpu" (dig "requests" "cpu" "" .Values.resources) .Values.resources | toString }}
{{- if hasSuffix "m" $cpu }}
{{- max 1 (div (trimSuffix "m" $cpu | int) 1000) }}
{{- else if $cpu }}
{{- max 1 (floor (float64 $cpu) | int) }}
{{- else -}}
0
{{- end }}
{{- end }}
