#!/bin/bash
# Unpacks the node's Debian packages into a private folder: nothing is installed, no service starts.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

programs=(containerd runc containernetworking-plugins iptables nftables conntrack busybox-static ca-certificates)
libraries=(libnftnl11 libnftables1 libjansson4 libip4tc2 libip6tc2 libxtables12 libnetfilter-conntrack3
  libnfnetlink0 libmnl0 libseccomp2 libgmp10 libedit2 libbsd0 libmd0 libtinfo6 libreadline8)

# The machine's package lists may be missing or older than the archive: then a private copy is fetched.
download() {
  local lists=$1/lists
  apt-get download "${programs[@]}" "${libraries[@]}" && return
  mkdir -p "$lists/partial"
  local private=(-o "Dir::State::Lists=$lists" -o "Dir::Cache=$1/cache" -o APT::Sandbox::User=root)
  apt-get "${private[@]}" update && apt-get "${private[@]}" download "${programs[@]}" "${libraries[@]}"
}

unpack() {
  local work=$1/work
  mkdir "$work"
  chmod 755 "$work"
  (cd "$work" && download "$work")
  local package folder program suffix
  for package in "$work"/*.deb; do dpkg-deb --extract "$package" "$1"; done
  # Where /bin, /sbin and /lib are links into /usr, the packages' own folders of these names must follow.
  for folder in bin sbin lib lib64; do
    [ -d "$1/$folder" ] || continue
    mkdir -p "$1/usr/$folder"
    cp -a "$1/$folder/." "$1/usr/$folder/"
    rm -r "${1:?}/$folder"
  done
  # Debian makes these names at installation, with update-alternatives.
  for program in iptables ip6tables; do
    for suffix in "" -save -restore; do ln -sf xtables-nft-multi "$1/usr/sbin/$program$suffix"; done
  done
  # And this bundle, of all that the package holds.
  mkdir -p "$1/usr/lib/ssl/certs"
  cat "$1"/usr/share/ca-certificates/*/*.crt > "$1/usr/lib/ssl/certs/ca-certificates.crt"
  rm -rf "$work" "$1/usr/share" "$1/etc" "$1/var"
  complete "$1"
}

complete() {
  local program missing
  grep --quiet "BEGIN CERTIFICATE" "$1/usr/lib/ssl/certs/ca-certificates.crt" || fail "packages: ca-certificates holds no certificate"
  for program in "$1"/usr/bin/{containerd,ctr,containerd-shim-runc-v2} "$1"/usr/sbin/{runc,nft,xtables-nft-multi,conntrack} "$1"/usr/lib/cni/bridge; do
    [ -e "$program" ] || fail "packages: ${program#"$1"} is in none of ${programs[*]}"
    missing=$(LD_LIBRARY_PATH="$1/usr/lib/$(uname -m)-linux-gnu" ldd "$program" | sed -n 's/ => not found//p' | xargs)
    [ -z "$missing" ] || fail "packages: ${program#"$1"} needs $missing, add the packages that have them to packages.sh"
  done
}

once "$PACKAGES" unpack
