#!/bin/bash
# Removes what was built for clusters; refuses while one of them runs, as it runs from these files.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

for STATE in "$CACHE"/clusters/*/; do
  ! node_pid > /dev/null || fail "cluster $(basename "$STATE") runs, make down (or stop.sh) ends it"
done
rm -rf --one-file-system "$CACHE"
