# The operator and what it expects of a cluster. Sourced; kubectl is the caller's.

# Runs as a phase, whose status is looked at: there bash does not stop at the first failure by itself.
install_operator() {
  local crd=$ROOT/crds/istiooperators.install.istio.io.yaml
  kubectl apply --server-side --force-conflicts -f "$crd" &&
    kubectl wait --for=condition=Established --timeout=30s -f "$crd" &&
    sed "s#$HUB_LOCAL#${HUB:-$HUB_LOCAL}#g" "$ROOT/config/deploy/operator.yaml" |
    kubectl apply --server-side --force-conflicts -f - &&
    kubectl rollout status deployment/istio-operator --namespace istio-operator --timeout=120s || return
  # An IstioOperator lives in a namespace, which the API server wants to see first.
  kubectl get namespace istio-system > /dev/null 2>&1 || kubectl create namespace istio-system
}

# In place of the operator comes one that hosts the control plane, in the way that its file describes.
host_control_plane() {
  kubectl apply --server-side --force-conflicts -f "$ROOT/config/deploy/operator-with-discovery.yaml" &&
    kubectl rollout status deployment/istio-operator --namespace istio-system --timeout=120s &&
    kubectl delete namespace istio-operator --timeout=60s
}
