# An existing cluster, named by the file CLUSTER and by nothing else: who it is, and permission to change it. Sourced.

ask_for_existing() {
  [ -f "$CLUSTER" ] || fail "CLUSTER=$CLUSTER: no such file, expected a kubeconfig"
  [ -n "${HUB:-}" ] || fail "HUB is not set: the registry that has pilot, proxyv2 and bookinfo, all with tag $VERSION, for example HUB=registry.example.com/ferrosail"
  kubectl() { command kubectl --kubeconfig "$CLUSTER" "$@"; }
  local server context answer=${YES:+yes}
  context=$(kubectl config current-context)
  server=$(kubectl config view --minify --output 'jsonpath={.clusters[0].cluster.server}')
  echo "This installs the operator, an IstioOperator and a sample application on $server"
  echo "(context $context of $CLUSTER), with images $HUB/{pilot,proxyv2,bookinfo}:$VERSION."
  if [ -z "$answer" ]; then
    [ -t 0 ] || fail "no terminal to ask on: YES=1 gives the answer"
    read -r -p "Go on? (yes/no) " answer
  fi
  [ "$answer" = yes ] || fail "nothing was changed"
}
