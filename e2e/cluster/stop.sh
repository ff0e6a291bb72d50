#!/bin/bash
# Ends the cluster NAME: its process 1, and with it every program, pod, mount, interface and route; then its
# cgroups and its state. "keep" as argument keeps the state, for start.sh to come back to.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

remove_cgroups() {
  local attempt
  for attempt in {1..100}; do
    # Every v1 hierarchy has its own, and v2 one at the top.
    find "/sys/fs/cgroup/$NAME" "/sys/fs/cgroup"/*/"$NAME" -depth -type d -exec rmdir {} + 2> /dev/null || true
    compgen -G "/sys/fs/cgroup/*/$NAME" > /dev/null || [ -d "/sys/fs/cgroup/$NAME" ] || return 0
    sleep 0.05
  done
  say "cgroups named $NAME stay below /sys/fs/cgroup, something still runs in them"
}

if [ -z "${LOCKED:-}" ]; then
  mkdir -p "$CACHE/clusters"
  exec 9> "$CACHE/clusters/$NAME.lock"
  flock --timeout 60 9 || fail "cluster $NAME: another start or stop is under way"
fi

found=
if pid=$(node_pid); then
  found=yes
  kill -KILL "$pid"
  # It is gone when the kernel has ended and reaped its whole pid namespace.
  while [ -e "/proc/$pid" ]; do sleep 0.02; done
fi
ip link delete "$NAME" 2> /dev/null || true
remove_cgroups
if [ -d "$STATE" ]; then
  found=yes
  rm -rf "$LOGS"
  mkdir -p "$LOGS"
  cp -r "$STATE/log/." "$LOGS/" 2> /dev/null || true
  cp -r "$STATE/var/log/pods" "$LOGS/" 2> /dev/null || true
  [ "${1:-}" = keep ] || rm -rf --one-file-system "$STATE"
fi
[ -n "$found" ] && echo "cluster $NAME is gone; its logs are in $LOGS" || echo "cluster $NAME does not run"
