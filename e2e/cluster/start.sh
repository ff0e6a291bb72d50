#!/bin/bash
# Starts the cluster NAME and returns when it can be used. A cluster whose programs were killed comes back with
# all its objects, as long as the machine has not been started anew since; otherwise it begins empty.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

resumable() { [ "$(cat "$STATE/complete" 2> /dev/null)" = "$(cat /proc/sys/kernel/random/boot_id)" ]; }
ready() { [ -e "/proc/$1/root/run/ready" ]; }

free_addresses() {
  local taken
  taken=$(ip -oneline address | grep -F " $HOST_IP/" | awk '{print $2}' | grep -vx "$NAME" || true)
  [ -z "$taken" ] || fail "addresses of cluster number $N are in use by $taken, set N to another number"
}

connect() {
  ip link delete "$NAME" 2> /dev/null || true
  ip link add "$NAME" type veth peer name eth0 netns "$1"
  ip address add "$HOST_IP/30" dev "$NAME"
  [ -z "$IPV6" ] || ip address add "$HOST_IP6/64" dev "$NAME" nodad
  ip link set "$NAME" up
  local range
  for range in $POD_RANGE $SERVICE_RANGE $LOADBALANCER_RANGE; do ip route replace "$range" via "$NODE_IP" dev "$NAME"; done
  [ -z "$IPV6" ] || for range in $POD_RANGE6 $SERVICE_RANGE6; do ip route replace "$range" via "$NODE_IP6" dev "$NAME"; done
}

# kubectl and istioctl that mean this cluster and no other. istioctl is that of target/release, whatever it is by then.
write_clients() {
  mkdir -p "$STATE/bin"
  # kubectl keeps what it learned of an API by server address, also across clusters: hence a folder of its own.
  printf '%s\n' '#!/bin/sh' "KUBECACHEDIR='$STATE/kubecache' exec '$HYPER/kubectl' --kubeconfig '$STATE/kubeconfig/admin.conf' \"\$@\"" > "$STATE/bin/kubectl"
  printf '%s\n' '#!/bin/sh' "KUBECONFIG='$STATE/kubeconfig/admin.conf' exec '$ROOT/target/release/istioctl' \"\$@\"" > "$STATE/bin/istioctl"
  chmod +x "$STATE/bin/kubectl" "$STATE/bin/istioctl"
}

not_ready() {
  tail -n 20 "$STATE/log/steps" "$STATE/log/node" >&2
  fail "cluster $NAME: $1; the programs' logs are in $LOGS"
}

[ "$(id -u)" = 0 ] || fail "starting a cluster takes root: namespaces, mounts and interfaces"
"$HERE/seed.sh"
mkdir -p "$CACHE/clusters"
exec 9> "$CACHE/clusters/$NAME.lock"
flock --nonblock 9 || fail "cluster $NAME: another start or stop is under way"

if pid=$(node_pid) && ready "$pid"; then
  write_clients
  echo "cluster $NAME runs already"
  exit
fi
free_addresses
resumable && keep=keep || keep=
# What a killed node left must go first, its pods' cgroups above all: a kubelet asks containerd for 3 s about
# each one that it finds, before it starts any pod.
LOCKED=yes "$HERE/stop.sh" $keep > /dev/null 9>&-
mkdir -p "$STATE/log"
"$HERE/pki.sh"
write_clients

# Ctrl-C or an error from here on: nothing half-started stays.
trap 'trap - EXIT; LOCKED=yes "$HERE/stop.sh" $keep > /dev/null 9>&-' EXIT
trap 'exit 130' INT TERM HUP

# The outer process waits for process 1 of the node; --kill-child ends the one with the other.
NAME=$NAME N=$N setsid unshare --mount --net --pid --uts --ipc --fork --kill-child --mount-proc \
  "$HERE/node.sh" > "$STATE/log/node" 2>&1 < /dev/null 3>&- 9>&- &
outer=$!
until pid=$(cat "/proc/$outer/task/$outer/children") && [ -n "$pid" ]; do sleep 0.01; done
pid=${pid%% *}
echo "$pid $(began "$pid")" > "$STATE/pid"
connect "$pid"

patience=$((SECONDS + 180))
until ready "$pid"; do
  kill -0 "$outer" 2> /dev/null || not_ready "the node ended before it was ready"
  [ "$SECONDS" -lt "$patience" ] || not_ready "the node is not ready after three minutes"
  sleep 0.05
done
trap - EXIT
echo "cluster $NAME is ready: $(kubectl get node "$NODE" --output 'jsonpath={.status.nodeInfo.kubeletVersion}')"
