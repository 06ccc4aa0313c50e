#!/bin/sh
# KAFKA_X_Y=v becomes x.y=v, as in the official image.
set -eu
properties=/tmp/server.properties
env | sed -n 's/^KAFKA_\([A-Z0-9_]*\)=\(.*\)$/\1=\2/p' | while IFS= read -r line; do
  name=$(printf %s "${line%%=*}" | tr 'A-Z_' 'a-z.')
  printf '%s=%s\n' "$name" "${line#*=}"
done >"$properties"
if [ ! -e /var/lib/kafka/data/meta.properties ]; then
  id=$(java -cp "/opt/kafka/libs/*" kafka.tools.StorageTool random-uuid)
  java -cp "/opt/kafka/libs/*" kafka.tools.StorageTool format --ignore-formatted \
    --cluster-id "$id" --config "$properties" >/dev/null
fi
exec java -Xms128m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
  -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "/opt/kafka/libs/*" kafka.Kafka "$properties"
