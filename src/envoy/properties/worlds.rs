//! Worlds made at random: few names, so that objects meet, and every kind that the mesh reads.

use api::mesh_config::MeshConfig;
use api::snapshot::{Key, Kind, Locality, World, read};
use fastrand::Rng;
use mesh::{Flavour, Proxy, VirtualHosts};
use serde_json::{Value, json};

const NAMESPACES: [&str; 3] = ["istio-system", "shop", "bank"];
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// One event.
#[derive(Clone, Debug)]
pub enum Step {
    /// An object is there, new or changed.
    Put(Box<Value>),
    /// An object is gone.
    Remove(Kind, Key),
    /// The mesh has these settings.
    Configure(Box<Value>),
}

impl Step {
    /// Brings it to a world.
    pub fn apply(&self, world: &mut World) {
        match self {
            Step::Put(object) => {
                let item = read(object).unwrap_or_else(|problem| panic!("{problem}"));
                world.put(item.expect("a kind that the mesh reads"));
            }
            Step::Remove(kind, key) => drop(world.remove(*kind, key)),
            Step::Configure(value) => {
                world.configure(MeshConfig::parse(value).expect("a mesh config"));
            }
        }
    }

    /// What it is about.
    pub fn object(&self) -> String {
        match self {
            Step::Put(object) => {
                let (kind, key) = id(object);
                format!("{kind:?} {key:?}")
            }
            Step::Remove(kind, key) => format!("{kind:?} {key:?}"),
            Step::Configure(_) => "mesh".to_owned(),
        }
    }
}

fn id(object: &Value) -> (Kind, Key) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = Kind::of(&text(&object["apiVersion"]), &text(&object["kind"]));
    let metadata = &object["metadata"];
    let key = Key::new(text(&metadata["namespace"]), text(&metadata["name"]));
    (kind.expect("a kind that the mesh reads"), key)
}

/// Events in an order in which they could come: objects come, change and go.
pub fn steps(random: &mut Rng, count: usize) -> Vec<Step> {
    let mut there: Vec<(Kind, Key)> = Vec::new();
    let mut steps = Vec::new();
    for _ in 0..count {
        match random.u8(..12) {
            0 => steps.push(Step::Configure(Box::new(settings(random)))),
            1 | 2 if !there.is_empty() => {
                let gone = there.swap_remove(random.usize(..there.len()));
                steps.push(Step::Remove(gone.0, gone.1));
            }
            _ => {
                let object = object(random);
                let id = id(&object);
                if !there.contains(&id) {
                    there.push(id);
                }
                steps.push(Step::Put(Box::new(object)));
            }
        }
    }
    steps
}

/// Proxies of several kinds.
pub fn proxies(random: &mut Rng) -> Vec<Proxy> {
    let mut made = Vec::new();
    for (kind, flavour) in [
        ("sidecar", Flavour::IstioProxy),
        ("sidecar", Flavour::Stock),
        ("sidecar", Flavour::Stock),
        ("router", Flavour::Stock),
    ] {
        let (namespace, name) = (of(random, NAMESPACES), of(random, NAMES));
        let node = format!(
            "{kind}~10.1.0.{}~{name}.{namespace}~{namespace}.svc.cluster.local",
            random.u8(1..5)
        );
        let metadata = json!({
            "NAMESPACE": namespace, "CLUSTER_ID": "Kubernetes", "WORKLOAD_NAME": name,
            "LABELS": {"app": of(random, NAMES), "version": of(random, ["v1", "v2"])},
        });
        let place = Locality::parse(of(random, ["", "r1/z1", "r1/z2"]));
        let proxy = Proxy::of_node(&node, &metadata, place, flavour).expect("a node");
        let virtual_hosts = of(random, [VirtualHosts::Inline, VirtualHosts::Apart]);
        made.push(Proxy {
            virtual_hosts,
            ..proxy
        });
    }
    made
}

fn of<T: Copy, const N: usize>(random: &mut Rng, list: [T; N]) -> T {
    list[random.usize(..N)]
}

fn settings(random: &mut Rng) -> Value {
    json!({
        "outboundTrafficPolicy": {"mode": of(random, ["ALLOW_ANY", "REGISTRY_ONLY"])},
        "enableAutoMtls": random.bool(),
        "accessLogFile": of(random, ["", "/dev/stdout"]),
        "defaultProviders": {"metrics": of(random, [&[][..], &["prometheus"][..]])},
        "extensionProviders": [
            {"name": "gate", "envoyExtAuthzGrpc": {"service": "a.shop.svc.cluster.local", "port": 80}},
            {"name": "text", "envoyFileAccessLog": {"logFormat": {"text": "%PATH%"}}},
            {"name": "collector", "envoyHttpAls": {"service": host(random), "port": 80}},
            {"name": "zipkin", "zipkin": {"service": host(random), "port": 80}},
        ],
    })
}

fn host(random: &mut Rng) -> String {
    match random.u8(..8) {
        0 => "*.example.com".to_owned(),
        1 => "api.example.com".to_owned(),
        2 => of(random, NAMES).to_owned(),
        _ => format!(
            "{}.{}.svc.cluster.local",
            of(random, NAMES),
            of(random, NAMESPACES)
        ),
    }
}

fn object(random: &mut Rng) -> Value {
    let make = of(
        random,
        [
            service,
            service,
            slice,
            pod,
            virtual_service,
            virtual_service,
            destination_rule,
            service_entry,
            workload_entry,
            sidecar,
            gateway,
            peer_authentication,
            authorization_policy,
            request_authentication,
            telemetry,
            namespace,
        ],
    );
    make(random)
}

fn made(random: &mut Rng, api_version: &str, kind: &str, rest: Value) -> Value {
    let (namespace, name) = (of(random, NAMESPACES), of(random, NAMES));
    let mut object = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {
            "name": name, "namespace": namespace,
            // Equal ages: ties are broken by name.
            "creationTimestamp": of(random, ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"]),
            "labels": {"app": name},
        },
    });
    for (key, value) in rest.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
    object
}

const NETWORKING: &str = "networking.istio.io/v1";

fn namespace(random: &mut Rng) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": of(random, NAMESPACES), "labels": {"team": of(random, NAMES)}},
    })
}

fn service(random: &mut Rng) -> Value {
    let (app, headless) = (of(random, NAMES), random.u8(..4) == 0);
    if random.u8(..8) == 0 {
        let others = [
            "api.example.com",
            "a.shop.svc.cluster.local",
            "b.shop.svc.cluster.local",
        ];
        let spec = json!({"type": "ExternalName", "externalName": of(random, others),
            "ports": [{"name": "http", "port": 80}]});
        return made(random, "v1", "Service", json!({"spec": spec}));
    }
    let port = |random: &mut Rng, number: u16| {
        json!({"name": format!("{}-{number}", of(random, ["http", "tcp", "grpc", "https", "x"])),
            "port": number, "targetPort": of(random, [8080, 9090])})
    };
    let mut ports = vec![port(random, of(&mut random.clone(), [80, 443]))];
    if random.bool() {
        ports.push(port(random, 9080));
    }
    let address = if headless {
        "None".to_owned()
    } else {
        format!("10.96.0.{}", random.u8(1..9))
    };
    let mut spec = json!({"clusterIP": address, "clusterIPs": [address], "selector": {"app": app}, "ports": ports});
    if random.u8(..6) == 0 {
        spec["trafficDistribution"] = "PreferClose".into();
    }
    made(random, "v1", "Service", json!({"spec": spec}))
}

fn slice(random: &mut Rng) -> Value {
    let (service, pod) = (of(random, NAMES), of(random, NAMES));
    let mut made = made(random, "discovery.k8s.io/v1", "EndpointSlice", json!({}));
    let namespace = made["metadata"]["namespace"].clone();
    made["metadata"]["labels"] = json!({"kubernetes.io/service-name": service});
    made["addressType"] = "IPv4".into();
    made["ports"] = json!([{"name": "http-80", "port": 8080}, {"name": "tcp-9080", "port": 9090}]);
    made["endpoints"] = json!([{
        "addresses": [format!("10.1.0.{}", random.u8(1..5))],
        "conditions": {"ready": random.bool()},
        "targetRef": {"kind": "Pod", "name": pod, "namespace": namespace},
    }]);
    if random.u8(..4) == 0 {
        made["endpoints"][0]["targetRef"] = Value::Null;
    }
    made
}

fn pod(random: &mut Rng) -> Value {
    let labels = json!({
        "app": of(random, NAMES), "version": of(random, ["v1", "v2"]),
        "security.istio.io/tlsMode": of(random, ["istio", "disabled"]),
    });
    let address = format!("10.1.0.{}", random.u8(1..5));
    let mut made = made(
        random,
        "v1",
        "Pod",
        json!({
            "spec": {"serviceAccountName": of(&mut random.clone(), NAMES), "nodeName": "n1", "containers": []},
            "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                "conditions": [{"type": "Ready", "status": "True"}]},
        }),
    );
    made["metadata"]["labels"] = labels;
    made
}

fn destination(random: &mut Rng) -> Value {
    let mut to = json!({"host": host(random)});
    if random.bool() {
        to["subset"] = of(random, ["v1", "v2"]).into();
    }
    if random.bool() {
        to["port"] = json!({"number": of(random, [80, 443, 9080])});
    }
    to
}

fn virtual_service(random: &mut Rng) -> Value {
    let mut rules = Vec::new();
    for _ in 0..random.u8(1..3) {
        let mut rule = json!({"route": [{"destination": destination(random)}]});
        if random.bool() {
            rule["match"] = json!([{"uri": {"prefix": of(random, ["/x", "/y"])}}]);
        }
        if random.u8(..4) == 0 {
            rule["match"] = json!([{"sourceLabels": {"version": "v1"}}]);
        }
        if random.u8(..4) == 0 {
            rule["timeout"] = "3s".into();
        }
        rules.push(rule);
    }
    let mut spec = json!({"hosts": [host(random)], "http": rules});
    if random.u8(..4) == 0 {
        spec["tcp"] = json!([{"route": [{"destination": destination(random)}]}]);
    }
    if random.u8(..3) == 0 {
        spec["gateways"] = json!([of(random, ["mesh", "a", "istio-system/b"])]);
    }
    if random.u8(..4) == 0 {
        spec["exportTo"] = json!([of(random, [".", "shop", "*"])]);
    }
    made(random, NETWORKING, "VirtualService", json!({"spec": spec}))
}

fn destination_rule(random: &mut Rng) -> Value {
    let mut spec = json!({"host": host(random)});
    if random.bool() {
        spec["subsets"] = json!([{"name": "v1", "labels": {"version": "v1"}}, {"name": "v2", "labels": {"version": "v2"}}]);
    }
    if random.bool() {
        spec["trafficPolicy"] =
            of(random, [0, 1, 2].map(Some)).map_or(Value::Null, |which| match which {
                0 => json!({"loadBalancer": {"simple": "ROUND_ROBIN"}}),
                1 => json!({"outlierDetection": {"consecutive5xxErrors": 3}}),
                _ => json!({"tls": {"mode": "DISABLE"}}),
            });
    }
    if random.u8(..4) == 0 {
        spec["workloadSelector"] = json!({"matchLabels": {"app": of(random, NAMES)}});
    }
    if random.u8(..4) == 0 {
        spec["exportTo"] = json!(["."]);
    }
    made(random, NETWORKING, "DestinationRule", json!({"spec": spec}))
}

fn service_entry(random: &mut Rng) -> Value {
    let resolution = of(random, ["NONE", "STATIC", "DNS"]);
    let mut spec = json!({
        "hosts": [of(random, ["api.example.com", "*.example.com", "b.shop.svc.cluster.local"])],
        "ports": [{"number": of(random, [80, 443]), "name": "p", "protocol": of(random, ["HTTP", "TLS", "TCP"])}],
        "location": of(random, ["MESH_EXTERNAL", "MESH_INTERNAL"]),
        "resolution": resolution,
    });
    if resolution == "STATIC" {
        spec["endpoints"] = json!([{"address": format!("10.2.0.{}", random.u8(1..4))}]);
    }
    if resolution == "DNS" {
        spec["hosts"] = json!(["api.example.com"]);
    }
    made(random, NETWORKING, "ServiceEntry", json!({"spec": spec}))
}

fn workload_entry(random: &mut Rng) -> Value {
    let spec = json!({"address": format!("10.3.0.{}", random.u8(1..4)), "labels": {"app": of(random, NAMES)}});
    made(random, NETWORKING, "WorkloadEntry", json!({"spec": spec}))
}

fn sidecar(random: &mut Rng) -> Value {
    let hosts = of(random, ["*/*", "./*", "shop/*", "istio-system/*"]);
    let mut spec = json!({"egress": [{"hosts": [hosts]}]});
    if random.bool() {
        spec["workloadSelector"] = json!({"labels": {"app": of(random, NAMES)}});
    }
    if random.u8(..3) == 0 {
        spec["outboundTrafficPolicy"] = json!({"mode": "REGISTRY_ONLY"});
    }
    made(random, NETWORKING, "Sidecar", json!({"spec": spec}))
}

fn gateway(random: &mut Rng) -> Value {
    let spec = json!({
        "selector": {"app": of(random, NAMES)},
        "servers": [{"port": {"number": of(random, [80, 8080]), "name": "http", "protocol": "HTTP"},
            "hosts": [of(random, ["*", "*.example.com", "shop/*"])]}],
    });
    made(random, NETWORKING, "Gateway", json!({"spec": spec}))
}

fn peer_authentication(random: &mut Rng) -> Value {
    let mut spec = json!({"mtls": {"mode": of(random, ["STRICT", "PERMISSIVE", "DISABLE"])}});
    if random.bool() {
        spec["selector"] = json!({"matchLabels": {"app": of(random, NAMES)}});
    }
    made(
        random,
        "security.istio.io/v1",
        "PeerAuthentication",
        json!({"spec": spec}),
    )
}

fn authorization_policy(random: &mut Rng) -> Value {
    let action = of(random, ["ALLOW", "DENY", "AUDIT", "CUSTOM", "NONSENSE"]);
    let mut spec = json!({
        "action": action,
        "rules": [{"from": [{"source": {"namespaces": [of(random, NAMESPACES)]}}],
            "to": [{"operation": {"paths": [of(random, ["/a*", "/{*}/b"])]}}]}],
    });
    if action == "CUSTOM" {
        spec["provider"] = json!({"name": of(random, ["gate", "nobody"])});
    }
    if random.bool() {
        spec["selector"] = json!({"matchLabels": {"app": of(random, NAMES)}});
    }
    let rest = json!({"spec": spec});
    made(random, "security.istio.io/v1", "AuthorizationPolicy", rest)
}

fn request_authentication(random: &mut Rng) -> Value {
    let spec = json!({"jwtRules": [{"issuer": of(random, NAMES), "jwks": "{\"keys\":[]}"}]});
    let rest = json!({"spec": spec});
    made(
        random,
        "security.istio.io/v1",
        "RequestAuthentication",
        rest,
    )
}

fn telemetry(random: &mut Rng) -> Value {
    let providers =
        json!([{"name": of(random, ["text", "collector", "zipkin", "prometheus", "nobody"])}]);
    let mut spec = json!({});
    match random.u8(..3) {
        0 => {
            spec["accessLogging"] = json!([{
                "providers": providers, "match": {"mode": of(random, ["CLIENT", "SERVER"])},
                "disabled": random.bool(),
            }]);
        }
        1 => {
            spec["tracing"] =
                json!([{"providers": providers, "randomSamplingPercentage": of(random, [1, 50])}]);
        }
        _ => {
            spec["metrics"] = json!([{
                "providers": providers,
                "overrides": [{"match": {"metric": "REQUEST_COUNT"}, "disabled": random.bool()}],
            }]);
        }
    }
    if random.bool() {
        spec["selector"] = json!({"matchLabels": {"app": of(random, NAMES)}});
    }
    made(
        random,
        "telemetry.istio.io/v1",
        "Telemetry",
        json!({"spec": spec}),
    )
}
