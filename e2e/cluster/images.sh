#!/bin/bash
# Assembles the images of Ferrosail's own programs, pilot and proxyv2, from target/release as OCI archives
# in target/images. An archive is written again only when something in it changed.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

release=$ROOT/target/release

# lacking PROGRAM: the libraries it loads that the base layer does not have.
lacking() {
  local library
  ldd "$1" | sed -nE 's#^\s+(\S+ => )?(/\S+) \(0x.*#\2#p' | while read -r library; do
    [ -e "$LAYERS/base$library" ] || echo "$library"
  done
}

# assemble NAME PROGRAM LAYER... : an image whose top layer is the folder $work/NAME
assemble() {
  local name=$1 entrypoint=$2 archive=$IMAGES/$1.tar inputs layer
  shift 2
  local layers=()
  for layer in "$@" "$work/$name"; do layers+=(--layer "$layer"); done
  inputs=$(cat "$HERE/images.sh" "$HERE/oci_image.py" "$work/$name"/usr/local/bin/* <(echo "$LAYERS $HUB_LOCAL $VERSION") | sha256sum)
  if [ "$(cat "$archive.inputs" 2> /dev/null)" != "$inputs" ] || [ ! -e "$archive" ]; then
    rm -f "$archive.inputs"
    "$HERE/oci_image.py" "$archive.new" "$HUB_LOCAL/$name:$VERSION" "${layers[@]}" --entrypoint "$entrypoint" --user 1337:1337
    mv "$archive.new" "$archive"
    echo "$inputs" > "$archive.inputs"
  fi
  echo "$archive"
}

program() { # IMAGE PROGRAM
  [ -x "$release/$2" ] || fail "$release/$2 is missing: cargo build --release makes it"
  mkdir -p "$work/$1/usr/local/bin"
  cp "$release/$2" "$work/$1/usr/local/bin/"
  local library
  for library in $(lacking "$release/$2"); do
    mkdir -p "$work/$1${library%/*}"
    cp --dereference "$library" "$work/$1$library"
  done
}

"$HERE/layers.sh"
mkdir -p "$IMAGES"
exec 8> "$IMAGES/lock"
flock 8
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

program pilot ferrosail
for name in pilot-discovery istioctl; do ln -s ferrosail "$work/pilot/usr/local/bin/$name"; done
program proxyv2 pilot-agent
assemble pilot /usr/local/bin/pilot-discovery "$LAYERS/base"
assemble proxyv2 /usr/local/bin/pilot-agent "$LAYERS/base" "$LAYERS/envoy" "$LAYERS/iptables"
