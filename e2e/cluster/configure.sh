# Writes the configuration files of the node's programs into $STATE/etc. Sourced by node.sh.

configure_containerd() {
  local skipped=(snapshotter.v1.{aufs,btrfs,devmapper,zfs,native} internal.v1.{opt,tracing} tracing.processor.v1.otlp)
  # restrict_oom_score_adj and oom_score: a root without CAP_SYS_RESOURCE may not lower the score, and runc
  # then fails every sandbox.
  cat <<CONFIG
version = 2
root = "$STATE/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [$(printf '"io.containerd.%s", ' "${skipped[@]}")]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "$STATE/etc/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = "/usr/sbin/runc"
  SystemdCgroup = false
CONFIG
}

# hairpinMode: a pod reaches itself through its own Service.
configure_pod_network() {
  local ranges="[{\"subnet\": \"$POD_RANGE\"}]"
  [ -z "$IPV6" ] || ranges+=", [{\"subnet\": \"$POD_RANGE6\"}]"
  cat <<CONFIG
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "isDefaultGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [$ranges]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
CONFIG
}

# No eviction, no image collection: the disk and the memory are the host's, and the host is not ours to judge.
configure_kubelet() {
  cat <<CONFIG
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $STATE/pki/kubelet-serving.crt
tlsPrivateKeyFile: $STATE/pki/kubelet-serving.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$NAME
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
localStorageCapacityIsolation: false
evictionHard: {memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%", imagefs.inodesFree: "0%"}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
clusterDomain: cluster.local
clusterDNS: [$DNS_IP]
resolvConf: $STATE/etc/resolv.conf
podLogsDir: /var/log/pods
maxPods: 240
serializeImagePulls: false
kubeAPIQPS: 200
kubeAPIBurst: 400
CONFIG
}

# The conntrack sysctls belong to the host's network namespace; zeros leave them alone.
configure_kube_proxy() {
  local addresses="\"$NODE_IP/32\"${IPV6:+, \"$NODE_IP6/128\"}"
  cat <<CONFIG
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $STATE/kubeconfig/kube-proxy.conf}
clusterCIDR: $POD_RANGES
hostnameOverride: $NODE
oomScoreAdj: 0
nodePortAddresses: [$addresses]
metricsBindAddress: 127.0.0.1:10249
healthzBindAddress: 127.0.0.1:10256
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
CONFIG
}

# Names outside the cluster do not exist, and are told so at once; tests put the ones they need into hosts.outside.
configure_coredns() {
  cat <<CONFIG
.:53 {
    bind $NODE_IP
    errors
    health 127.0.0.1:8081
    ready 127.0.0.1:8181
    cache 5
    hosts $STATE/etc/hosts.outside {
        reload 2s
        fallthrough
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig $STATE/kubeconfig/coredns.conf $NAME
        pods insecure
        ttl 5
        fallthrough in-addr.arpa ip6.arpa
    }
    template ANY ANY {
        rcode NXDOMAIN
    }
}
CONFIG
}

# Who wrote what, one line per write: tests count those of the operator.
configure_audit() {
  cat <<END
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
END
}

configure() {
  mkdir -p "$STATE/etc/cni"
  configure_containerd > "$STATE/etc/containerd.toml"
  configure_pod_network > "$STATE/etc/cni/10-pods.conflist"
  configure_audit > "$STATE/etc/audit.yaml"
  configure_kubelet > "$STATE/etc/kubelet.yaml"
  configure_kube_proxy > "$STATE/etc/kube-proxy.yaml"
  configure_coredns > "$STATE/etc/Corefile"
  echo "nameserver $DNS_IP" > "$STATE/etc/resolv.conf"
  printf '%s\n' "127.0.0.1 localhost" "$NODE_IP $NODE" > "$STATE/etc/hosts"
  touch "$STATE/etc/hosts.outside"
}
