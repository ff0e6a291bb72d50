# The sample application: installed in its injected namespace, asked through the ingress gateway, and what to try
# with it. Sourced; kubectl is the caller's.

APPLICATION=(bookinfo.yaml bookinfo-gateway.yaml bookinfo-destination-rules.yaml)
address=                         # of the ingress gateway, once check_application found it

# Runs as a phase, whose status is looked at: there bash does not stop at the first failure by itself.
install_application() {
  local file
  for file in "${APPLICATION[@]}"; do
    sed "s#$HUB_LOCAL#${HUB:-$HUB_LOCAL}#g" "$ROOT/config/samples/$file" |
      kubectl apply --server-side --force-conflicts -f - || return
  done
  # Pods do not notice that an image of the same name became another.
  if grep --quiet -E '/(proxyv2|bookinfo):' <<< "${changed:-}"; then
    kubectl rollout restart deployment --namespace bookinfo || return
  fi
  for file in $(kubectl get deployments --namespace bookinfo --output name); do
    kubectl rollout status "$file" --namespace bookinfo --timeout=120s || { explain_application; return 1; }
  done
}

# Where the cluster gives the gateway no address, or none that this machine reaches, a pod asks instead.
check_application() {
  local deadline=$((SECONDS + 60)) service=service/istio-ingressgateway
  while [ -z "$address" ] && [ "$SECONDS" -lt "$deadline" ]; do
    address=$(kubectl get "$service" --namespace istio-system \
      --output 'jsonpath={.status.loadBalancer.ingress[0].ip}{.status.loadBalancer.ingress[0].hostname}') || return
    [ -n "$address" ] || [ -z "${CLUSTER:-}" ] || break
    [ -n "$address" ] || sleep 1
  done
  case $address in *:*) address="[$address]" ;; esac
  if [ -n "$address" ]; then
    until answers "$ROOT/target/release/bookinfo" "$address"; do
      [ "$SECONDS" -lt "$deadline" ] || break
      sleep 0.5
    done
    [ "$SECONDS" -ge "$deadline" ] || return 0
    echo "nothing that answers at $address, asking from inside the cluster"
    [ -n "${CLUSTER:-}" ] || { explain_application; return 1; }
    address=
  fi
  deadline=$((SECONDS + 60))
  until answers "kubectl exec --namespace bookinfo deployment/productpage-v1 -- bookinfo" istio-ingressgateway.istio-system; do
    [ "$SECONDS" -lt "$deadline" ] || { explain_application; return 1; }
    sleep 1
  done
}

# answers PROGRAM HOST: the page, and what it asks others for, all of it with status 200.
answers() {
  local path result
  for path in /productpage /api/v1/products/0 /api/v1/products/0/reviews /api/v1/products/0/ratings; do
    result=$($1 load --timeout 3s --url "http://$2$path") || return
    echo "$2$path: $result"
    grep --quiet '"statuses":{"200":1}' <<< "$result" || return
  done
}

explain_application() {
  kubectl get pods --namespace bookinfo --output wide
  kubectl get events --namespace bookinfo --field-selector type=Warning | tail -n 10
  kubectl logs --namespace bookinfo deployment/productpage-v1 --all-containers --tail=10
}

# try COMMAND WHAT
try() { printf '    %s\n' "$1"; [ -z "${2:-}" ] || printf '        %s\n' "$2"; }

try_application() { # KUBECTL ISTIOCTL
  local kubectl=$1 istioctl=$2 url=http://$address
  echo "The sample application, through the ingress gateway:"
  if [ -n "$address" ]; then
    try "$url/productpage"
  else
    url=http://localhost:8080
    try "$kubectl port-forward -n istio-system service/istio-ingressgateway 8080:80"
    try "$url/productpage"
  fi
  echo
  echo "Look at the mesh:"
  try "curl -s $url/api/v1/products/0/reviews" "which version of reviews answers changes from call to call"
  try "$istioctl proxy-status" "every proxy, and whether it has what it should have"
  try "$istioctl proxy-config secret deployment/productpage-v1 -n bookinfo" "its certificate and the root it trusts"
  try "$kubectl logs -n bookinfo deployment/reviews-v3 -c istio-proxy --tail=3" "who called, and what became of it"
  echo
  echo "A canary, nine in ten to reviews v1 and one in ten to v3:"
  try "$kubectl apply -f config/samples/bookinfo-canary.yaml"
  try "for i in \$(seq 200); do curl -s $url/api/v1/products/0/reviews | grep -o '\"version\":\"[^\"]*\"'; done | sort | uniq -c"
  try "$kubectl delete -f config/samples/bookinfo-canary.yaml"
  echo
  echo "The control plane fails, the application does not:"
  try "$kubectl annotate iop -n istio-system istiocontrolplane install.istio.io/ignoreReconcile=true" "the operator no longer repairs"
  try "$kubectl delete deployment -n istio-system istiod"
  try "curl -s -o /dev/null -w '%{http_code}\n' $url/productpage" "200: proxies keep what they have"
  try "$kubectl scale deployment -n bookinfo details-v1 --replicas=2"
  try "$kubectl get events -n bookinfo --field-selector reason=FailedCreate -o custom-columns=MESSAGE:.message" "no pod without a sidecar: the webhook is missed"
  try "$kubectl annotate iop -n istio-system istiocontrolplane install.istio.io/ignoreReconcile-" "all heals, the second pod comes"
  try "$kubectl rollout status deployment -n bookinfo details-v1"
}
