# The node's programs and their flags, and the supervision that starts one again when it ends. Sourced by node.sh.

# supervise NAME FUNCTION: keeps the function's program running, and says so when it had to start it again.
# The pause doubles from 1 s to 30 s while the program keeps dying young.
supervise() {
  local name=$1 run=$2
  (
    trap - TERM INT
    pause=1
    while :; do
      began=$SECONDS
      status=0
      "$run" >> "$STATE/log/programs/$name" 2>&1 || status=$?
      lived=$((SECONDS - began))
      [ "$lived" -lt 60 ] || pause=1
      say "$(date +%T) $name ended with status $status after $lived s, starting it again in $pause s"
      sleep "$pause"
      pause=$((pause * 2 > 30 ? 30 : pause * 2))
    done
  ) &
}

run_containerd() { containerd --config "$STATE/etc/containerd.toml" --log-level warn; }

# Without fsync: a machine that loses power loses the cluster, and a test cluster's disk is spared the rest.
run_etcd() {
  local client=http://127.0.0.1:2379 peer=http://127.0.0.1:2380
  "$HYPER/hyper" etcd --name "$NODE" --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls $client --advertise-client-urls $client \
    --listen-peer-urls $peer --initial-advertise-peer-urls $peer --initial-cluster "$NODE=$peer"
}

run_apiserver() {
  local pki=$STATE/pki
  "$HYPER/hyper" kube-apiserver --etcd-servers http://127.0.0.1:2379 \
    --advertise-address "$NODE_IP" --secure-port 6443 --service-cluster-ip-range "$SERVICE_RANGES" \
    --allow-privileged --profiling=false \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
    --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
    --kubelet-client-certificate "$pki/apiserver-kubelet-client.crt" \
    --kubelet-client-key "$pki/apiserver-kubelet-client.key" \
    --kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$pki/service-account.pub" \
    --service-account-signing-key-file "$pki/service-account.key" \
    --enable-aggregator-routing \
    --proxy-client-cert-file "$pki/front-proxy-client.crt" --proxy-client-key-file "$pki/front-proxy-client.key" \
    --requestheader-client-ca-file "$pki/ca.crt" --requestheader-allowed-names front-proxy-client \
    --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
    --requestheader-extra-headers-prefix X-Remote-Extra- \
    --audit-policy-file "$STATE/etc/audit.yaml" --audit-log-path "$STATE/log/audit.json" \
    --audit-log-maxsize 100 --audit-log-maxbackup 1
}

# The rates: each controller asks for a token at the start, which at the default 20 requests per second delays
# the first ServiceAccount by seconds. The period: an autoscaler acts on minReplicas within 3 s, not 15. The grace
# period: when the API server was away for a minute, the only node is not taken for dead, nor its pods with it.
run_controller_manager() {
  local pki=$STATE/pki
  "$HYPER/hyper" kube-controller-manager --kubeconfig "$STATE/kubeconfig/kube-controller-manager.conf" \
    --bind-address 127.0.0.1 --leader-elect=false --profiling=false --kube-api-qps 1000 --kube-api-burst 2000 \
    --use-service-account-credentials --service-account-private-key-file "$pki/service-account.key" \
    --root-ca-file "$pki/ca.crt" --requestheader-client-ca-file "$pki/ca.crt" \
    --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
    --allocate-node-cidrs --cluster-cidr "$(pod_supernets)" --service-cluster-ip-range "$SERVICE_RANGES" \
    --horizontal-pod-autoscaler-sync-period 3s --node-monitor-grace-period 5m
}

# What the node's own ranges are allotted from: the first /24 of a /16, the first /64 of a /56.
pod_supernets() { echo "${POD_RANGE%/*}/16${IPV6:+,${POD_RANGE6%/*}/64}"; }

run_scheduler() {
  "$HYPER/hyper" kube-scheduler --kubeconfig "$STATE/kubeconfig/kube-scheduler.conf" \
    --bind-address 127.0.0.1 --leader-elect=false --profiling=false --kube-api-qps 500 --kube-api-burst 1000
}

run_kubelet() {
  ADVERTISED_CORES=32 "$HYPER/hyper" kubelet --config "$STATE/etc/kubelet.yaml" \
    --kubeconfig "$STATE/kubeconfig/kubelet.conf" --hostname-override "$NODE" --node-ip "$NODE_IPS"
}

run_kube_proxy() { "$HYPER/hyper" kube-proxy --config "$STATE/etc/kube-proxy.yaml"; }

run_coredns() { "$HYPER/hyper" coredns -conf "$STATE/etc/Corefile"; }

run_loadbalancer() {
  "$HYPER/hyper" loadbalancer --kubeconfig "$STATE/kubeconfig/admin.conf" --range "$LOADBALANCER_RANGE"
}
