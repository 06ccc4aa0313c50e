#!/usr/bin/env bash
# What `make containers` needs and a bare Debian 12 lacks, into the folder $1: a container engine, the base
# of the stand-in images, and Docker Compose 2. Done once; what is there is kept. Needs root.
set -euo pipefail
cache=$1
mkdir -p "$cache/bin" "$cache/go"
export DEBIAN_FRONTEND=noninteractive
if ! command -v dockerd >/dev/null || ! command -v mmdebstrap >/dev/null; then
  # The packages would start a daemon of their own.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends \
    docker.io containerd runc iptables mmdebstrap debian-archive-keyring >/dev/null
fi
if [ ! -s "$cache/trixie.tar" ]; then
  mmdebstrap --quiet --variant=minbase --format=tar --include=python3,python3-venv,ca-certificates \
    trixie "$cache/trixie.tar.new"
  mv "$cache/trixie.tar.new" "$cache/trixie.tar"
fi
if [ ! -x "$cache/bin/docker-compose" ]; then
  GOBIN="$cache/bin" GOMODCACHE="$cache/go/mod" GOCACHE="$cache/go/build" GOFLAGS=-buildvcs=false \
    nice -n 19 go install github.com/docker/compose/v2/cmd@v2.29.7
  mv "$cache/bin/cmd" "$cache/bin/docker-compose"
fi
