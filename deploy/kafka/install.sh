#!/usr/bin/env bash
# Fetch Apache Kafka as plain jars into var/kafka/libs (once). Needs Java 17 or later and Maven.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=var/kafka/libs

missing=()
command -v java >/dev/null || missing+=(default-jre-headless)
command -v mvn >/dev/null || missing+=(maven)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing ${missing[*]} …"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
  else
    echo "Kafka needs ${missing[*]}: apt-get install ${missing[*]}" >&2
    exit 1
  fi
fi

mkdir -p "$target"
echo "Fetching Apache Kafka (44 MB, once) …"
mvn -q -B -f deploy/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$PWD/$target"
touch "$target/.stamp"
