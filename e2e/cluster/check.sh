#!/bin/bash
# Says in one message what this machine lacks; changes nothing. usage: check.sh cluster|existing
set -euo pipefail
. "$(dirname "$0")/settings.sh"

missing=()
lack() { missing+=("$*"); }
program() { command -v "$1" > /dev/null || lack "$1: $2"; }

program cargo "Rust 1.95 or newer, see https://rustup.rs"
program cc "a C compiler and linker for Rust, Debian package gcc"

if [ "${1:-cluster}" = existing ]; then
  program kubectl "to reach the cluster"
else
  program python3 "Debian package python3"
  program openssl "Debian package openssl"
  program ip "Debian package iproute2"
  program ldd "Debian package libc-bin"
  for name in unshare nsenter setsid flock; do program $name "Debian package util-linux"; done
  for name in apt-get dpkg-deb; do program $name "a Debian or Ubuntu system, whose packages the node is made of"; done
  [ -d "$SEED" ] || python3 -m pip --version > /dev/null 2>&1 || lack "pip: Debian package python3-pip"
  case $(uname -m) in x86_64 | aarch64) ;; *) lack "an x86-64 or arm64 processor, this is $(uname -m)" ;; esac

  if [ "$(id -u)" != 0 ]; then
    lack "root: a node needs namespaces, mounts and interfaces of its own"
  elif [ ${#missing[@]} = 0 ]; then
    modprobe --quiet --all overlay br_netfilter nf_tables 2> /dev/null || true
    grep --quiet --word-regexp overlay /proc/filesystems || lack "kernel: the file system overlay"
    unshare --mount --net --pid --uts --ipc --fork --mount-proc true 2> /dev/null ||
      lack "kernel: namespaces (in a container: run it privileged)"
    unshare --net sh -c 'ip link add name pod0 type veth peer name pod1 && ip link add name pods type bridge' 2> /dev/null ||
      lack "kernel: veth and bridge interfaces"
    [ ! -d "$PACKAGES" ] || LD_LIBRARY_PATH=$PACKAGES/usr/lib/$(uname -m)-linux-gnu unshare --net \
      "$PACKAGES/usr/sbin/nft" 'add table ip t; add chain ip t c { type nat hook prerouting priority 0; }' 2> /dev/null ||
      lack "kernel: nf_tables with NAT"
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
      for name in cpu cpuset memory pids; do
        grep --quiet --word-regexp $name /sys/fs/cgroup/cgroup.controllers || lack "kernel: cgroup controller $name"
      done
    else
      for name in cpu cpuset memory pids devices; do
        [ -d /sys/fs/cgroup/$name ] || lack "kernel: cgroup hierarchy /sys/fs/cgroup/$name"
      done
    fi
  fi
  # What is built takes 2 GB in this folder and the rest in Go's and Cargo's; without it only clusters grow.
  mkdir -p "$CACHE"
  needed=$([ -d "$SEED" ] && echo 2 || echo 10)
  free=$(($(df --output=avail --block-size=1M "$CACHE" | tail -1) / 1024))
  [ "$free" -ge "$needed" ] || lack "disk: $needed GB free at $CACHE, there are $free"
  memory=$(($(awk '/MemAvailable/ { print $2 }' /proc/meminfo) / 1048576))
  [ "$memory" -ge 3 ] || lack "memory: 3 GB available, there are $memory"
fi

[ ${#missing[@]} = 0 ] && exit
say "this machine lacks:"
printf '  %s\n' "${missing[@]}" >&2
exit 1
