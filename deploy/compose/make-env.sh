#!/bin/sh
# Writes deploy/.env: keys and passwords for compose.yaml, made by chance. Never overwrites it.
set -eu
file=$(dirname "$0")/../.env
[ ! -e "$file" ] || { echo "deploy/.env is there"; exit 0; }
random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
cat > "$file.new" <<END
API_ACCESS_KEY_ID=AKID$(random 8 | tr a-f A-F)
API_SECRET_ACCESS_KEY=$(random 20)
S3_ACCESS_KEY_ID=AKID$(random 8 | tr a-f A-F)
S3_SECRET_ACCESS_KEY=$(random 20)
POSTGRES_PASSWORD=$(random 20)
GRAFANA_PASSWORD=$(random 10)
# STREAMD_IMAGE=localhost/streamd:cpu
# CAMERA_URL=rtsp://user:password@camera.local/stream1
# VIDEO_ARCHIVE=s3
END
mv "$file.new" "$file"
echo "deploy/.env made"
