#!/usr/bin/env bash
# Measures the push engine from outside: SERVICES services of two endpoints, PROXIES simulated
# sidecars, beside a server that only writes prepared bytes (the floor), in the same run.
#   LOAD_TOOLS=<folder with loadclient, kubestub, floor and world.py> e2e/load/measure.sh [plaintext|tls|hostile]
# `hostile` measures what a tenth that refuses every response or never reads costs the others, over plaintext.
# Nothing of the machine is changed; what is started here is ended here.
set -euo pipefail
: "${LOAD_TOOLS:?the folder with loadclient, kubestub, floor and world.py}"
transport=${1:-plaintext}
proxies=${PROXIES:-1000} services=${SERVICES:-1000}
here=$(cd "$(dirname "$0")/../.." && pwd)
ferrosail=${FERROSAIL:-$here/target/release/ferrosail}
work=$(mktemp -d)
started=()
finish() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

python3 "$LOAD_TOOLS/world.py" "$work/world" "$services"
"$LOAD_TOOLS/kubestub" -addr 127.0.0.1:0 -port-file "$work/port" "$here"/crds/*.yaml "$work/world/objects.yaml" >"$work/kubestub.log" 2>&1 &
started+=($!)
until [ -s "$work/port" ]; do sleep 0.1; done
stub=http://$(cat "$work/port")
cat >"$work/kubeconfig" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: stub, cluster: {server: "$stub"}}]
users: [{name: stub, user: {token: any}}]
contexts: [{name: stub, context: {cluster: stub, user: stub}}]
current-context: stub
YAML
began=$(date +%s%N)
"$ferrosail" discovery --kubeconfig "$work/kubeconfig" --httpAddr 127.0.0.1:18080 --httpsAddr 127.0.0.1:18017 \
  --grpcAddr 127.0.0.1:18010 --secureGRPCAddr 127.0.0.1:18012 --monitoringAddr 127.0.0.1:18014 >"$work/ferrosail.log" 2>&1 &
server=$!
started+=("$server")
until curl -sf http://127.0.0.1:18080/ready >/dev/null; do
  kill -0 "$server" 2>/dev/null || { tail -20 "$work/ferrosail.log"; exit 1; }
  sleep 0.02
done
echo "ready after $((($(date +%s%N) - began) / 1000000)) ms"
memory() { awk '/^(VmRSS|VmHWM|RssFile)/ { printf "%s %d MiB  ", $1, $2 / 1024 }' "/proc/$server/status"; echo; }
sleep 2
echo "idle: $(memory)"

namespaces=ns-0,ns-1,ns-2,ns-3,ns-4,ns-5,ns-6,ns-7,ns-8,ns-9
case $transport in
  plaintext | hostile) reach=(-addr 127.0.0.1:18010 -insecure) ;;
  tls)
    # Has the form of a JSON web token, and the stub reads who it is of in front of the first point.
    claims=$(printf '{"aud":"istio-ca","exp":4102444800}' | base64 -w0 | tr '+/' '-_' | tr -d =)
    reach=(-addr 127.0.0.1:18012 -token "stub:%NS%:default:.$claims.c3R1Yg")
    ;;
  *) echo "plaintext, tls or hostile, not $transport" >&2; exit 2 ;;
esac
client() { "$LOAD_TOOLS/loadclient" -n "$proxies" -ns "$namespaces" "$@"; }

if [ "$transport" = hostile ]; then
  # Built beforehand: cargo bench --profile dev --workspace --bench hostile --no-run
  hostile=${HOSTILE:-$(ls -t "$here"/target/debug/deps/hostile-* 2>/dev/null | grep -v '\.d$' | head -1)}
  [ -x "$hostile" ] || { echo "HOSTILE names no program, and none is built" >&2; exit 1; }
  tenth=$((proxies / 10)) proxies=$((proxies - proxies / 10))
  changes() {
    echo "== $1: connecting, a VirtualService change"
    client "${reach[@]}" -pid "$server" -changes 10 \
      -change-url "$stub/apis/networking.istio.io/v1/namespaces/ns-0/virtualservices/svc-0" \
      -change-body "$work/world/vs-a.json,$work/world/vs-b.json"
    echo "== $1: an endpoint change"
    client "${reach[@]}" -pid "$server" -changes 10 \
      -change-url "$stub/apis/discovery.k8s.io/v1/namespaces/ns-0/endpointslices/svc-0-1" \
      -change-body "$work/world/ep-a.json,$work/world/ep-b.json"
    echo "$1: $(memory)"
  }
  changes "$proxies alone"
  "$hostile" 127.0.0.1:18010 "$tenth" "$namespaces" >"$work/hostile.log" 2>&1 &
  enemies=$!
  started+=("$enemies")
  until grep -q 'do not read' "$work/hostile.log"; do
    kill -0 "$enemies" 2>/dev/null || { cat "$work/hostile.log"; exit 1; }
    sleep 0.1
  done
  changes "$proxies beside $tenth of which $(head -1 "$work/hostile.log")"
  kill -0 "$enemies" || { cat "$work/hostile.log"; exit 1; }
  tail -1 "$work/hostile.log"
  kill "$enemies"
  sleep 10
  echo "10 s after all have gone: $(memory)"
  exit
fi

"$LOAD_TOOLS/floor" >"$work/floor.log" 2>&1 &
floor=$!
started+=("$floor")
sleep 1
echo "== floor (plaintext): connecting, one small message, reconnecting"
echo '{}' >"$work/nothing.json"
client -addr 127.0.0.1:15098 -insecure -pid "$floor" -remember -reconnect 1 \
  -change-url http://127.0.0.1:15099/ -change-body "$work/nothing.json" -changes 3
kill "$floor"

echo "== ferrosail ($transport): connecting, reconnecting, a VirtualService change"
client "${reach[@]}" -pid "$server" -remember -reconnect 1 -changes 5 \
  -change-url "$stub/apis/networking.istio.io/v1/namespaces/ns-0/virtualservices/svc-0" \
  -change-body "$work/world/vs-a.json,$work/world/vs-b.json"
echo "== an endpoint change"
client "${reach[@]}" -pid "$server" -changes 5 \
  -change-url "$stub/apis/discovery.k8s.io/v1/namespaces/ns-0/endpointslices/svc-0-1" \
  -change-body "$work/world/ep-a.json,$work/world/ep-b.json"
echo "just after all have gone: $(memory)"
sleep 10
echo "10 s after all have gone: $(memory)"
