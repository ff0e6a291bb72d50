#!/bin/bash
# Every test: format, lints, then unit, golden and end-to-end tests, the latter on a cluster of their own, which
# ends with them. CORPORA, if set, goes through to the tests.
set -euo pipefail
unset KUBECONFIG
. "$(dirname "$0")/settings.sh"
. "$HERE/phase.sh"
. "$HERE/operator.sh"
cd "$ROOT"

# The runner's summary stays the last thing shown.
leave() {
  set +e
  trap '' INT TERM
  end_progress
  "$HERE/stop.sh" > "$PHASES/stop-$NAME" 2>&1 || say "the cluster $NAME did not stop, see $PHASES/stop-$NAME"
}

part() { printf '%6s  %s\n' "$(clock)" "$*"; "$@"; }

"$HERE/check.sh" cluster
trap leave EXIT
trap 'exit 130' INT TERM HUP
[ -d "$SEED" ] || aside "$HERE/seed.sh"

part cargo fmt --all --check
part cargo clippy --workspace --all-targets -- -D warnings
# Not among all targets, as it is no test that runs by itself.
part cargo clippy --workspace --test cases -- -D warnings
phase "build Ferrosail" "$(expect_rust pilot-agent 8 min)" cargo build --release
phase "build the programs of the cluster" "$(expect_programs)" "$HERE/seed.sh"
phase "start the cluster $NAME" "6 s" "$HERE/start.sh"
phase "assemble the images" "$(expect_rust bookinfo 30 s)" "$HERE/images.sh"
phase "load the images" "2 s" "$HERE/load.sh" "$IMAGES"/{pilot,proxyv2,bookinfo}.tar
phase "install the operator" "5 s" install_operator
# Always the whole workspace, so that dependencies are compiled once: a selection of packages has features of its own.
export FERROSAIL_KUBECONFIG=$STATE/kubeconfig/admin.conf FERROSAIL_NODE=$STATE
export ENVOY=$ENVOY_BINARY IPTABLES=$PACKAGES/usr/sbin PILOT_AGENT=$ROOT/target/release/pilot-agent
part cargo test --workspace --lib --bins --tests
# Cases wait for their turn by themselves, and need a thread each to do so.
part cargo test --workspace --test cases -- --test-threads=100
phase "let the operator host the control plane" "20 s" host_control_plane
part cargo test --workspace --test cases -- --test-threads=100 --skip istiod::
