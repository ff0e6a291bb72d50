#!/bin/bash
# Fills a containerd root with the images and layers that rarely change. Every new cluster starts from a copy
# by hard links, which takes milliseconds where an import of Envoy takes seconds.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

fill() {
  local archives=$1/archives
  mkdir "$archives"
  "$HERE/oci_image.py" "$archives/pause.tar" "$PAUSE_IMAGE" --layer "$LAYERS/pause" --entrypoint /pause
  "$HERE/oci_image.py" "$archives/tools.tar" "$TOOLS_IMAGE" --layer "$LAYERS/tools" --command /bin/sh
  # The lower layers of proxyv2, so that its import has only our own program to unpack.
  "$HERE/oci_image.py" "$archives/proxy-layers.tar" "$HUB_LOCAL/proxy-layers:$ENVOY" \
    --layer "$LAYERS/base" --layer "$LAYERS/envoy" --layer "$LAYERS/iptables"
  unshare --mount --net --pid --fork --kill-child --mount-proc "$0" inside "$1"
  rm -r "$archives"
}

# Runs as process 1 of namespaces of its own: containerd cannot outlive this script.
import() {
  mount --make-rprivate /
  mount -t overlay -o "ro,lowerdir=$PACKAGES/usr:/usr" overlay /usr
  mount -t tmpfs tmpfs /run
  cat > /run/containerd.toml <<CONFIG
version = 2
root = "$1/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
CONFIG
  containerd --config /run/containerd.toml --log-level warn &
  local containerd=$! archive
  until [ -S /run/containerd/containerd.sock ]; do kill -0 $containerd; sleep 0.05; done
  for archive in "$1"/archives/*.tar; do ctr --namespace k8s.io images import "$archive"; done
  kill $containerd
  wait $containerd || true
}

if [ "${1:-}" = inside ]; then
  import "$2"
else
  "$HERE/layers.sh"
  once "$SEED" fill
fi
