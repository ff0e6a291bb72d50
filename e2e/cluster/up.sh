#!/bin/bash
# From a checkout to a mesh with an application in it, on a cluster of our own, or on the one that CLUSTER (a
# kubeconfig) and HUB (a registry) name. A run that does not get to its end stops the cluster that it started.
set -euo pipefail
unset KUBECONFIG
. "$(dirname "$0")/settings.sh"
. "$HERE/phase.sh"
. "$HERE/existing.sh"
. "$HERE/operator.sh"
. "$HERE/application.sh"

cd "$ROOT"
sample=config/samples/istiooperator.yaml
started=
changed=

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
  changed=$("$HERE/load.sh" "$IMAGES"/{pilot,proxyv2,bookinfo}.tar) || return
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
  local kubectl="kubectl --kubeconfig ${CLUSTER:-}" istioctl="target/release/istioctl --kubeconfig ${CLUSTER:-}"
  echo
  kubectl get iop,deployments,hpa,pdb,services --namespace istio-system
  echo
  if [ -z "${CLUSTER:-}" ]; then
    kubectl=kubectl istioctl=istioctl
    echo "This kubectl and istioctl mean the cluster $NAME and no other:"
    try "export PATH=$STATE/bin:\$PATH"
    echo "For other clients:"
    try "export KUBECONFIG=$STATE/kubeconfig/admin.conf"
    echo
  fi
  try_application "$kubectl" "$istioctl"
  echo
  echo "The operator:"
  try "$kubectl get iop -n istio-system istiocontrolplane -o yaml" "status and conditions per component"
  try "$kubectl delete hpa -n istio-system istio-ingressgateway" "comes back by itself"
  try "$kubectl edit iop -n istio-system istiocontrolplane" "changes the mesh"
  [ -n "${CLUSTER:-}" ] || try "make down" "ends the cluster and all that is in it"
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
# The selection is wide so that dependencies get the features that all of Ferrosail asks for, and are compiled once.
phase "build the command line" "$(expect_rust istioctl 2 min)" \
  cargo build --release --workspace --exclude ferrosail --exclude e2e --no-default-features --bin istioctl
first_result
phase "build Ferrosail" "$(expect_rust pilot-agent 8 min)" cargo build --release
if [ -z "${CLUSTER:-}" ]; then
  phase "build the programs of the cluster" "$(expect_programs)" "$HERE/seed.sh"
  phase "start the cluster $NAME" "6 s" start_or_keep
  phase "assemble the images" "$(expect_rust bookinfo 30 s)" "$HERE/images.sh"
  phase "load the images" "2 s" load_images
fi
phase "install the operator" "5 s" install_operator
phase "apply $sample" "1 s" install_sample
phase "wait until the mesh is ready" "20 s" wait_until_ready
phase "install the sample application" "15 s" install_application
phase "ask it through the ingress gateway" "1 s" check_application
what_next
