#!/bin/bash
# The official program asks the broker for its API versions; this one only knocks at the door.
set -euo pipefail
[ "$1" = --bootstrap-server ]
exec 3<>"/dev/tcp/${2%:*}/${2#*:}"
