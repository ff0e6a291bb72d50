#!/bin/bash
# Every test: format, lints, then unit, golden and end-to-end tests, the latter on a cluster of their own, which
# ends with them. CORPORA, if set, goes through to the tests.
set -euo pipefail
unset KUBECONFIG
. "$(dirname "$0")/settings.sh"
. "$HERE/cases.sh"

begin
part cargo fmt --all --check
part cargo clippy --workspace --all-targets -- -D warnings
# Not among all targets, as it is no test that runs by itself.
part cargo clippy --workspace --test cases -- -D warnings
cluster_of_cases
export ENVOY=$ENVOY_BINARY IPTABLES=$PACKAGES/usr/sbin PILOT_AGENT=$ROOT/target/release/pilot-agent
part cargo test --workspace --lib --bins --tests
cases --skip campaign:: --skip hosted::
phase "let the operator host the control plane" "20 s" host_control_plane
cases --skip campaign:: --skip istiod::
