#!/usr/bin/env bash
# Fetch promtool, prometheus and libfaketime into var/monitoring (once), for the tests of the alerts.
# Unpacked and not installed, so that no service is started and no root is needed.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$PWD/var/monitoring

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
  # The tests of the alerts then skip and say why.
  echo "No Debian packages here: put promtool and prometheus into $target/usr/bin yourself" >&2
  exit 0
}
echo "Fetching promtool (19 MB, once) …"
rm -rf "$target.new"
mkdir -p "$target.new/packages"
cd "$target.new/packages"
apt-get download -qq prometheus libfaketime 2>/dev/null || {
  [ "$(id -u)" = 0 ] && apt-get update -qq
  apt-get download -qq prometheus libfaketime
}
for package in *.deb; do dpkg-deb -x "$package" "$target.new"; done
rm -rf "$target.new/packages" "$target"
mv "$target.new" "$target"
touch "$target/.stamp"
