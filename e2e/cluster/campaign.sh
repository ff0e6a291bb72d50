#!/bin/bash
# What is tested for hours: the readers of what strangers send, fed at random for FUZZ_SECONDS, and on a cluster of its
# own every case of `make test` that takes a sample, in full, with what it measured. ONLY, if set, selects one part:
# fuzz, kills, quiet.
set -euo pipefail
unset KUBECONFIG
. "$(dirname "$0")/settings.sh"
. "$HERE/cases.sh"

begin
if [ "${ONLY:-fuzz}" = fuzz ]; then
  part env FUZZ_SECONDS="${FUZZ_SECONDS:-3600}" cargo test --release --workspace --test strangers -- --nocapture
fi
[ "${ONLY:-}" != fuzz ] || exit 0
cluster_of_cases
cases --nocapture "campaign::${ONLY:-}"
