{{/* What no schema can tell: values that do not go together. Each message names the way out. */}}
{{- define "streamd.checks" -}}
{{- $postgresql := include "streamd.hasPostgresql" . }}
{{- if and (include "streamd.hasCompany" .) (not $postgresql) }}
{{- fail "several replicas share a PostgreSQL store: set postgresql.host, config.store.url or secrets.store.url" }}
{{- end }}
{{- if and (include "streamd.hasCompany" .) .Values.persistence.existingClaim }}
{{- fail "persistence.existingClaim is for one replica: each needs a volume of its own" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas" }}
{{- end }}
{{- if and .Values.postgresql.host (or (dig "store" "url" "" .Values.config) (dig "store" "url" "" .Values.secrets)) }}
{{- fail "the store is named twice: postgresql.host, config.store.url and secrets.store.url exclude each other" }}
{{- end }}
{{- if and .Values.postgresql.host (eq .Values.postgresql.sslMode "verify-ca") (not .Values.postgresql.caSecret) }}
{{- fail "postgresql.sslMode verify-ca needs postgresql.caSecret" }}
{{- end }}
{{- $drain := add (int .Values.preStopSeconds) (dig "server" "drain_seconds" 20 .Values.config | ceil | int) }}
{{- if le (include "streamd.gracePeriod" . | int) (int $drain) }}
{{- fail (printf "terminationGracePeriodSeconds must be more than preStopSeconds and config.server.drain_seconds together (%d)" $drain) }}
{{- end }}
{{- if and .Values.tls.enabled (not (or .Values.tls.existingSecret .Values.tls.certManager.enabled (and .Values.tls.certificate .Values.tls.privateKey))) }}
{{- fail "tls.enabled needs tls.existingSecret, tls.certManager.enabled, or tls.certificate and tls.privateKey" }}
{{- end }}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.certManager.issuerRef) }}
{{- fail "tls.certManager.enabled needs tls.certManager.issuerRef" }}
{{- end }}
{{- if and .Values.models.volume .Values.models.pull }}
{{- fail "models.volume holds packs that are pulled already, read-only: leave models.pull empty, or use models.mirrorVolume" }}
{{- end }}
{{- if and .Values.models.mirrorVolume (dig "models" "mirror" "" .Values.config) }}
{{- fail "models.mirrorVolume and config.models.mirror exclude each other" }}
{{- end }}
{{- if and (eq (dig "kinesis_video" "archive" "disk" .Values.config) "s3") (not (dig "kinesis_video" "archive_bucket" "" .Values.config)) }}
{{- fail "config.kinesis_video.archive s3 needs config.kinesis_video.archive_bucket" }}
{{- end }}
{{- range $kind := list "ingress" "gateway" }}
{{- $way := get $.Values $kind }}
{{- if and $way.enabled (not $way.host) }}
{{- fail (printf "%s.enabled needs %s.host" $kind $kind) }}
{{- end }}
{{- if and $way.enabled $way.perReplica.enabled (not $way.perReplica.host) }}
{{- fail (printf "%s.perReplica.enabled needs %s.perReplica.host, such as video-%%d.example.com" $kind $kind) }}
{{- end }}
{{- end }}
{{- end }}
