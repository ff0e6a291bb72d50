#!/bin/bash
# Imports image archives into the running cluster NAME, and prints the names of those that differ from what
# the cluster had. usage: load.sh ARCHIVE...
set -euo pipefail
. "$(dirname "$0")/settings.sh"

node_pid > /dev/null || fail "cluster $NAME does not run, start.sh starts it"
for archive in "$@"; do
  index=$(tar --extract --to-stdout --file "$archive" index.json)
  name=$(sed -E 's/.*"io.containerd.image.name":"([^"]*)".*/\1/' <<< "$index")
  digest=$(sed -E 's/.*"digest":"([^"]*)".*/\1/' <<< "$index")
  present=$(in_node ctr --namespace k8s.io images list "name==$name" | awk 'NR == 2 { print $3 }')
  [ "$present" != "$digest" ] || continue
  in_node ctr --namespace k8s.io images import "$(realpath "$archive")" > "$STATE/log/import" 2>&1 ||
    fail "image $name: import failed: $(tail -n 3 "$STATE/log/import")"
  echo "$name"
done
