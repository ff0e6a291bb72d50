#!/bin/bash
# Lays out what the images are made of apart from our own programs: one folder per layer.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

# libraries PROGRAM...: the files that the programs load, the program interpreter among them.
libraries() {
  LD_LIBRARY_PATH=$PACKAGES/usr/lib/$(uname -m)-linux-gnu ldd "$@" |
    sed -nE 's#^\s+(\S+ => )?(/\S+) \(0x.*#\2#p' | sort -u
}

put() { mkdir -p "$2"; cp --dereference --preserve=mode "$1" "$2/"; }

lay_out() {
  local base=$1/base envoy=$1/envoy iptables=$1/iptables tools=$1/tools pause=$1/pause
  local multi=("$PACKAGES"/usr/sbin/xtables-{nft,legacy}-multi) gcc file

  mkdir -p "$base"/{tmp,etc,run,var/tmp} "$tools"/bin "$pause"
  gcc=$(ldconfig -p | sed -n 's/.*libgcc_s\.so\.1 .*x86-64.* => //p;s/.*libgcc_s\.so\.1 .*AArch64.* => //p' | head -1)
  for file in $gcc $(libraries "$ENVOY_BINARY" "${multi[@]}" | grep -v "^$PACKAGES"); do put "$file" "$base${file%/*}"; done
  # Without it glibc asks DNS before /etc/hosts, which is where a pod finds its own name.
  echo "hosts: files dns" > "$base/etc/nsswitch.conf"
  printf '%s\n' root:x:0:0::/: istio-proxy:x:1337:1337::/: > "$base/etc/passwd"

  put "$ENVOY_BINARY" "$envoy/usr/local/bin"
  # Whom proxies trust outside the mesh, when a rule names nobody else.
  put "$PACKAGES/usr/lib/ssl/certs/ca-certificates.crt" "$envoy/etc/ssl/certs"

  for file in "${multi[@]}"; do put "$file" "$iptables/usr/sbin"; done
  for file in $(libraries "${multi[@]}" | grep "^$PACKAGES"); do put "$file" "$iptables/usr/lib/$(uname -m)-linux-gnu"; done
  cp -r "$PACKAGES/usr/lib/$(uname -m)-linux-gnu/xtables" "$iptables/usr/lib/$(uname -m)-linux-gnu/"
  local program suffix
  for program in iptables ip6tables; do
    for suffix in "" -save -restore; do
      ln -s xtables-nft-multi "$iptables/usr/sbin/$program$suffix"
      ln -s xtables-nft-multi "$iptables/usr/sbin/$program-nft$suffix"
      ln -s xtables-legacy-multi "$iptables/usr/sbin/$program-legacy$suffix"
    done
  done

  put "$PACKAGES/usr/bin/busybox" "$tools/bin"
  for program in $("$tools/bin/busybox" --list); do
    [ "$program" = busybox ] || ln -s busybox "$tools/bin/$program"
  done
  mkdir "$tools/tmp"

  put "$HYPER/pause" "$pause"
}

"$HERE/packages.sh"
"$HERE/envoy.sh"
"$HERE/hyper.sh"
once "$LAYERS" lay_out
