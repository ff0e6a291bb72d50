#!/bin/bash
# Assembles the images of Ferrosail's own programs, pilot and proxyv2, from target/release, and that of the sample
# application, as OCI archives in target/images. An archive is written again only when something in it changed.
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

# assemble NAME PROGRAM USER LAYER... : an image whose top layer is the folder $work/NAME
assemble() {
  local name=$1 entrypoint=$2 user=$3 archive=$IMAGES/$1.tar inputs layer
  shift 3
  local layers=()
  for layer in "$@" "$work/$name"; do layers+=(--layer "$layer"); done
  inputs=$(cat "$HERE/images.sh" "$HERE/oci_image.py" "$work/$name"/usr/local/bin/* <(echo "$LAYERS $HUB_LOCAL $VERSION") | sha256sum)
  if [ "$(cat "$archive.inputs" 2> /dev/null)" != "$inputs" ] || [ ! -e "$archive" ]; then
    rm -f "$archive.inputs"
    "$HERE/oci_image.py" "$archive.new" "$HUB_LOCAL/$name:$VERSION" "${layers[@]}" --entrypoint "$entrypoint" --user "$user:$user"
    mv "$archive.new" "$archive"
    echo "$inputs" > "$archive.inputs"
  fi
  echo "$archive"
}

# The sample application stands alone in its image, so it is linked statically; a plain `cargo build` links it
# like the others, into the same file.
static_program() { # IMAGE PROGRAM
  (cd "$ROOT" && RUSTC_WORKSPACE_WRAPPER=$HERE/static.sh cargo build --release --workspace --exclude e2e --bin "$2")
  ! ldd "$release/$2" 2> /dev/null | grep --quiet '=>' || fail "$release/$2 loads libraries, expected a static program"
  mkdir -p "$work/$1/usr/local/bin"
  cp "$release/$2" "$work/$1/usr/local/bin/"
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
static_program bookinfo bookinfo
assemble pilot /usr/local/bin/pilot-discovery 1337 "$LAYERS/base"
assemble proxyv2 /usr/local/bin/pilot-agent 1337 "$LAYERS/base" "$LAYERS/envoy" "$LAYERS/iptables"
# Not the proxy's user, whose traffic is not captured.
assemble bookinfo /usr/local/bin/bookinfo 65532
