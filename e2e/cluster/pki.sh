#!/bin/bash
# Makes the cluster's certificates, keys and kubeconfig files, fresh for every new cluster.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

[ -e "$STATE/pki/complete" ] && exit
rm -rf "$STATE/pki" "$STATE/kubeconfig"
mkdir -p -m 700 "$STATE/pki" "$STATE/kubeconfig"
cd "$STATE/pki"

key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650)

authority() {
  openssl req -x509 "${key[@]}" -subj /CN=ferrosail-cluster -keyout ca.key -out ca.crt \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
}

certificate() { # FILE SUBJECT [ALTERNATIVE NAMES]
  openssl req -x509 "${key[@]}" -CA ca.crt -CAkey ca.key -subj "$2" -keyout "$1.key" -out "$1.crt" \
    -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature \
    -addext extendedKeyUsage=serverAuth,clientAuth ${3:+-addext "subjectAltName=$3"}
}

kubeconfig() { # FILE SUBJECT
  certificate "$1" "$2"
  cat > "$STATE/kubeconfig/$1.conf" <<CONFIG
apiVersion: v1
kind: Config
clusters:
- name: $NAME
  cluster: {server: "https://$NODE_IP:6443", certificate-authority-data: $(base64 -w0 ca.crt)}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}
contexts:
- name: $NAME
  context: {cluster: $NAME, user: $1}
current-context: $NAME
CONFIG
}

service=kubernetes.default.svc
apiserver_names=DNS:kubernetes,DNS:kubernetes.default,DNS:$service,DNS:$service.cluster.local,DNS:localhost
apiserver_names+=,IP:$API_IP,IP:$NODE_IP,IP:127.0.0.1

authority 2> openssl.log
# Ten certificates at once take a tenth of a second.
{
  certificate apiserver /CN=kube-apiserver "$apiserver_names" &
  certificate apiserver-kubelet-client /O=system:masters/CN=apiserver-kubelet-client &
  certificate front-proxy-client /CN=front-proxy-client &
  certificate kubelet-serving "/O=system:nodes/CN=system:node:$NODE" "DNS:$NODE,IP:$NODE_IP" &
  kubeconfig admin /O=system:masters/CN=admin &
  kubeconfig kubelet "/O=system:nodes/CN=system:node:$NODE" &
  kubeconfig kube-controller-manager /CN=system:kube-controller-manager &
  kubeconfig kube-scheduler /CN=system:kube-scheduler &
  kubeconfig kube-proxy /CN=system:kube-proxy &
  kubeconfig coredns /CN=coredns &
  for job in $(jobs -p); do wait "$job"; done
} 2>> openssl.log
openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out service-account.key
openssl pkey -in service-account.key -pubout -out service-account.pub
touch complete
