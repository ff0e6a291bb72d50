# The cluster that end-to-end cases run on: made with everything that they expect, ended when the script ends. Sourced.

. "$HERE/phase.sh"
. "$HERE/operator.sh"

# The runner's summary stays the last thing shown.
leave() {
  set +e
  trap '' INT TERM
  end_progress
  "$HERE/stop.sh" > "$PHASES/stop-$NAME" 2>&1 || say "the cluster $NAME did not stop, see $PHASES/stop-$NAME"
}

part() { printf '%6s  %s\n' "$(clock)" "$*"; "$@"; }

# begin: what is slow and depends on nothing starts beside what follows.
begin() {
  cd "$ROOT"
  "$HERE/check.sh" cluster
  trap leave EXIT
  trap 'exit 130' INT TERM HUP
  [ -d "$SEED" ] || aside "$HERE/seed.sh"
}

# cluster_of_cases: the cluster with images and operator, and where cases find it.
cluster_of_cases() {
  phase "build Ferrosail" "$(expect_rust pilot-agent 8 min)" cargo build --release
  phase "build the programs of the cluster" "$(expect_programs)" "$HERE/seed.sh"
  phase "start the cluster $NAME" "6 s" "$HERE/start.sh"
  phase "assemble the images" "$(expect_rust bookinfo 30 s)" "$HERE/images.sh"
  phase "load the images" "2 s" "$HERE/load.sh" "$IMAGES"/{pilot,proxyv2,bookinfo}.tar
  phase "install the operator" "5 s" install_operator
  export FERROSAIL_KUBECONFIG=$STATE/kubeconfig/admin.conf FERROSAIL_NODE=$STATE
}

# cases ARGUMENT...: runs those that the arguments select. They wait for their turn by themselves, and need a thread
# each to do so. Always the whole workspace, so that dependencies are compiled once: a selection of packages has
# features of its own.
cases() { part cargo test --workspace --test cases -- --test-threads=100 "$@"; }
