#!/bin/bash
# From a checkout to a mesh that is HEALTHY, on a cluster of our own, or on the one that CLUSTER (a kubeconfig)
# and HUB (a registry) name. A run that does not get to its end stops the cluster that it started.
set -euo pipefail
unset KUBECONFIG
. "$(dirname "$0")/settings.sh"
. "$HERE/phase.sh"
. "$HERE/existing.sh"
. "$HERE/operator.sh"

cd "$ROOT"
sample=config/samples/istiooperator.yaml
started=

leave() {
  local status=$?
  set +e
  trap '' INT TERM
  end_progress
  [ "$status" = 0 ] || [ -z "$started" ] || "$HERE/stop.sh" >&3 2>&3
}

first_result() {
  echo
  echo "What $sample will create:"
  target/release/istioctl manifest generate -f "$sample" | kinds_and_names
  echo
}

# One line per kind with the names of its objects, from a stream of YAML documents.
kinds_and_names() {
  awk '
    /^---/ { section = "" }
    /^[A-Za-z]/ { section = $1 }
    /^kind:/ { kind = $2; if (!(kind in names)) order[++count] = kind }
    section == "metadata:" && /^  name:/ { names[kind] = names[kind] " " $2; number[kind]++ }
    END { for (i = 1; i <= count; i++) { k = order[i]; printf "  %3d %-32s%s\n", number[k], k, (number[k] > 6 ? "" : names[k]) } }
  ' | tr -d '"'
}

start_or_keep() {
  node_pid > /dev/null || started=yes
  "$HERE/start.sh"
}

# Pods do not notice that an image of the same name became another.
load_images() {
  local changed
  changed=$("$HERE/load.sh" "$IMAGES"/pilot.tar "$IMAGES"/proxyv2.tar) || return
  echo "changed: ${changed:-none}"
  [ -n "$changed" ] || return 0
  local namespace deployment
  for namespace in istio-operator istio-system; do
    for deployment in $(kubectl get deployments --namespace "$namespace" --output name); do
      kubectl rollout restart "$deployment" --namespace "$namespace" &&
        kubectl rollout status "$deployment" --namespace "$namespace" --timeout=120s || return
    done
  done
}

install_sample() { kubectl apply --server-side --force-conflicts -f "$sample"; }

wait_until_ready() {
  kubectl wait --for=condition=Ready iop/istiocontrolplane --namespace istio-system --timeout=180s && return
  echo
  kubectl get iop istiocontrolplane --namespace istio-system --output 'jsonpath={.status}'
  echo
  kubectl get pods --all-namespaces
  kubectl logs --namespace istio-operator deployment/istio-operator --tail=20
  return 1
}

what_next() {
  local use="kubectl --kubeconfig ${CLUSTER:-}"
  echo
  kubectl get iop,deployments,hpa,pdb,services --namespace istio-system
  echo
  if [ -z "${CLUSTER:-}" ]; then
    use=kubectl
    echo "This kubectl means the cluster $NAME and no other:"
    echo "    export PATH=$STATE/bin:\$PATH"
    echo "For other clients:"
    echo "    export KUBECONFIG=$STATE/kubeconfig/admin.conf"
    echo
  fi
  echo "To try next:"
  echo "    $use get iop -n istio-system istiocontrolplane -o yaml     status and conditions per component"
  echo "    $use delete hpa istio-ingressgateway -n istio-system       comes back by itself"
  echo "    $use edit iop -n istio-system istiocontrolplane            change the mesh"
  [ -n "${CLUSTER:-}" ] || echo "    make down                                                     ends the cluster and all that is in it"
}

trap leave EXIT
trap 'exit 130' INT TERM HUP

if [ -n "${CLUSTER:-}" ]; then
  "$HERE/check.sh" existing
  ask_for_existing
else
  "$HERE/check.sh" cluster
  # Downloads and Go's compiler fill what Rust leaves of the processors.
  [ -d "$SEED" ] || aside "$HERE/seed.sh"
fi
phase "build the command line" "$(expect_rust istioctl 2 min)" cargo build --release -p cli --no-default-features
first_result
phase "build Ferrosail" "$(expect_rust pilot-agent 8 min)" cargo build --release
if [ -z "${CLUSTER:-}" ]; then
  phase "build the programs of the cluster" "$(expect_programs)" "$HERE/seed.sh"
  phase "start the cluster $NAME" "6 s" start_or_keep
  phase "assemble the images" "2 s" "$HERE/images.sh"
  phase "load the images" "2 s" load_images
fi
phase "install the operator" "5 s" install_operator
phase "apply $sample" "1 s" install_sample
phase "wait until the mesh is ready" "20 s" wait_until_ready
what_next
