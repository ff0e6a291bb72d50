#!/bin/bash
# Process 1 of the node, in mount, network, pid, uts and ipc namespaces of its own; start.sh makes these.
# When it ends, the kernel ends every program and pod of the node, and their mounts and interfaces go too.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
. "$HERE/configure.sh"
. "$HERE/programs.sh"

# The host's files stay as they are below private mounts: Debian's programs sit at their natural paths in
# /usr, and what programs write to /var and /run lands in the state folder or in memory.
mounts() {
  mkdir -p "$STATE"/{run,var/lib,var/log,var/tmp}
  mount --make-rprivate /
  mount -t tmpfs -o mode=755 tmpfs "$STATE/run"
  # A fresh sysfs shows this network namespace's interfaces; the cgroups are carried over to it.
  mkdir "$STATE/run/cgroup"
  mount --rbind /sys/fs/cgroup "$STATE/run/cgroup"
  mount -t sysfs sysfs /sys
  mount --rbind "$STATE/run/cgroup" /sys/fs/cgroup
  umount --lazy "$STATE/run/cgroup"
  mount -t overlay -o "ro,lowerdir=$PACKAGES/usr:/usr" overlay /usr
  mount --bind "$STATE/var" /var
  ln -sfn /run "$STATE/var/run"
  mount --rbind "$STATE/run" /run
  mkdir -p /run/lock /run/netns
  mount --bind "$STATE/etc/hosts" /etc/hosts
  # The kubelet hands mounts on to pods.
  mount --make-rshared /
}

network() {
  local setting
  ip link set lo up
  until ip link show eth0 > /dev/null 2>&1; do sleep 0.01; done
  ip address add "$NODE_IP/30" dev eth0
  [ -z "$IPV6" ] || ip address add "$NODE_IP6/64" dev eth0 nodad
  ip link set eth0 up
  for setting in ipv4/ip_forward=1 ipv4/conf/all/rp_filter=0 bridge/bridge-nf-call-iptables=1 \
    ${IPV6:+ipv6/conf/all/forwarding=1 ipv6/conf/default/accept_dad=0 bridge/bridge-nf-call-ip6tables=1}; do
    # A kernel without br_netfilter has no bridge settings; Services then work but for a pod's own.
    [ ! -e "/proc/sys/net/${setting%=*}" ] || echo "${setting#*=}" > "/proc/sys/net/${setting%=*}"
  done
}

# One parent for all pods: below every v1 hierarchy, or in the one v2 hierarchy with its controllers passed on.
cgroups() {
  local hierarchy file controller
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p "/sys/fs/cgroup/$NAME"
    for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
      for file in /sys/fs/cgroup/cgroup.subtree_control "/sys/fs/cgroup/$NAME/cgroup.subtree_control"; do
        echo "+$controller" > "$file" || say "cgroup: $file does not take +$controller"
      done
    done
    return
  fi
  for hierarchy in /sys/fs/cgroup/*/; do
    [ ! -e "$hierarchy/tasks" ] || mkdir -p "$hierarchy/$NAME"
  done
  for file in cpus mems; do # a cpuset is born empty
    cat "/sys/fs/cgroup/cpuset/cpuset.$file" > "/sys/fs/cgroup/cpuset/$NAME/cpuset.$file"
  done
}

# Images: hard links to the seed, as blobs and snapshots are never written in place; the databases are copied.
images() {
  [ -d "$STATE/containerd" ] && return
  local database
  rm -rf "$STATE/containerd.new"
  cp -al "$SEED/containerd" "$STATE/containerd.new"
  find "$STATE/containerd.new" -name '*.db' | while read -r database; do
    cp --remove-destination "$database" "$database.copy"
    mv "$database.copy" "$database"
  done
  mv "$STATE/containerd.new" "$STATE/containerd"
}

step() { echo "$(cut -d' ' -f1 /proc/uptime) $*" >> "$STATE/log/steps"; }

mkdir -p "$STATE/log/programs"
step begin
configure
mounts
hostname "$NODE"
network
cgroups
images
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
step "mounts, network, cgroups, images"

supervise containerd run_containerd
supervise etcd run_etcd
supervise kube-apiserver run_apiserver
until kubectl get --raw /livez; do sleep 0.1; done > /dev/null 2>&1
step "API server live"
supervise kubelet run_kubelet
supervise kube-controller-manager run_controller_manager
supervise kube-scheduler run_scheduler
until kubectl get --raw /readyz; do sleep 0.1; done > /dev/null 2>&1
step "API server ready"
until sed "s/@DNS_IP@/$DNS_IP/; s/@NODE_IP@/$NODE_IP/" "$HERE/bootstrap.yaml" | kubectl apply --server-side -f -; do sleep 0.2; done > "$STATE/log/bootstrap" 2>&1
step "first objects applied"
supervise kube-proxy run_kube_proxy
supervise coredns run_coredns
supervise loadbalancer run_loadbalancer
until kubectl --server=http://127.0.0.1:8181 get --raw /ready; do sleep 0.1; done > /dev/null 2>&1
step "DNS ready"
until kubectl wait --for=condition=Ready "node/$NODE" --timeout=60s; do sleep 0.2; done > /dev/null 2>&1
step "node ready"
until kubectl wait --for=create serviceaccount/default --namespace=default --timeout=60s; do sleep 0.2; done > /dev/null 2>&1
step "service account there"

# The state is worth coming back to while this boot lasts: etcd writes without fsync.
cat /proc/sys/kernel/random/boot_id > "$STATE/complete"
touch /run/ready
# Process 1 adopts what its programs leave behind, and bash reaps it.
while :; do wait -n || sleep 1; done
