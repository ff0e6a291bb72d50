#!/bin/bash
# What is tested for hours, on a cluster of its own: every case of `make test` that takes a sample, in full, with what
# it measured. ONLY, if set, selects parts by name, `kills` or `quiet` for example.
set -euo pipefail
unset KUBECONFIG
. "$(dirname "$0")/settings.sh"
. "$HERE/cases.sh"

# More parts go here: those that need no cluster first.
begin
cluster_of_cases
cases --nocapture "campaign::${ONLY:-}"
