//! Every object of a user that makes a resource what it is, is among its origins: who could be to blame can be named.

use std::collections::BTreeSet;

use api::mesh_config::MeshConfig;
use api::snapshot::{Locality, World, read};
use mesh::{Flavour, Proxy};
use proto::codec::type_url::{CLUSTER, LISTENER, ROUTE};
use serde_json::{Value, json};

use crate::{Memo, Resources, derive};

fn service(name: &str, ports: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.1", "selector": {"app": name}, "ports": ports}})
}

fn networking(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": kind,
        "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

fn security(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "security.istio.io/v1", "kind": kind,
        "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

/// Objects of users, each of which changes something.
fn objects() -> Vec<Value> {
    let selector = json!({"matchLabels": {"app": "web"}});
    let tls = |host: &str| json!({"match": [{"port": 8443, "sniHosts": [host]}], "route": [{"destination": {"host": "db"}}]});
    vec![
        networking(
            "VirtualService",
            "requests",
            json!({"hosts": ["api"], "gateways": ["mesh", "edge"], "http": [{"timeout": "3s",
                "route": [{"destination": {"host": "api"}}]}]}),
        ),
        networking(
            "VirtualService",
            "connections",
            json!({"hosts": ["db"], "tcp": [{"route": [{"destination": {"host": "db", "subset": "a"}}]}]}),
        ),
        networking(
            "VirtualService",
            "passed",
            json!({"hosts": ["db.example"], "gateways": ["edge"], "tls": [tls("db.example")]}),
        ),
        networking(
            "DestinationRule",
            "api",
            json!({"host": "api", "trafficPolicy": {"loadBalancer": {"consistentHash": {"httpHeaderName": "x"}}}}),
        ),
        networking(
            "DestinationRule",
            "db",
            json!({"host": "db", "subsets": [{"name": "a"}],
                "trafficPolicy": {"connectionPool": {"tcp": {"idleTimeout": "7s"}}}}),
        ),
        networking(
            "DestinationRule",
            "web",
            json!({"host": "web", "trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 7}}}}),
        ),
        networking(
            "ServiceEntry",
            "outside",
            json!({"hosts": ["outside.example"], "resolution": "DNS",
                "ports": [{"number": 9090, "name": "tcp", "protocol": "TCP"}]}),
        ),
        networking(
            "Gateway",
            "edge",
            json!({"selector": {"app": "edge"}, "servers": [
                {"port": {"number": 8080, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
                {"port": {"number": 8443, "name": "tls", "protocol": "TLS"}, "hosts": ["*"],
                    "tls": {"mode": "PASSTHROUGH"}}]}),
        ),
        security(
            "PeerAuthentication",
            "whole",
            json!({"mtls": {"mode": "DISABLE"}}),
        ),
        security(
            "PeerAuthentication",
            "web",
            json!({"selector": selector, "portLevelMtls": {"8080": {"mode": "STRICT"}}}),
        ),
        security(
            "RequestAuthentication",
            "tokens",
            json!({"jwtRules": [{"issuer": "me", "jwks": "{\"keys\":[{\"kty\":\"oct\",\"k\":\"YQ\"}]}"}]}),
        ),
        security(
            "AuthorizationPolicy",
            "allowed",
            json!({"rules": [{"to": [{"operation": {"methods": ["GET"]}}]}]}),
        ),
        security(
            "AuthorizationPolicy",
            "recorded",
            json!({"action": "AUDIT", "rules": [{}]}),
        ),
        security(
            "AuthorizationPolicy",
            "asked",
            json!({"action": "CUSTOM", "provider": {"name": "gate"}, "rules": [{}]}),
        ),
        json!({"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry",
            "metadata": {"name": "logs", "namespace": "shop"},
            "spec": {"accessLogging": [{"providers": [{"name": "text"}]}]}}),
    ]
}

/// What proxies have in the world of all objects but one.
fn without(left_out: usize, more: &[Value]) -> [Resources; 2] {
    let mut world = World::new("cluster.local");
    world.configure(
        MeshConfig::parse(&json!({"extensionProviders": [
            {"name": "text", "envoyFileAccessLog": {"path": "/dev/stdout"}},
            {"name": "gate", "envoyExtAuthzHttp": {"service": "api.shop.svc.cluster.local", "port": 80}}]}))
        .expect("a mesh config"),
    );
    let services = [
        service(
            "web",
            &json!([{"name": "http", "port": 80, "targetPort": 8080}]),
        ),
        service("api", &json!([{"name": "http", "port": 80}])),
        service("db", &json!([{"name": "tcp", "port": 5432}])),
    ];
    let objects = objects();
    let users = objects.iter().chain(more).enumerate();
    let users = users.filter(|(place, _)| *place != left_out);
    for object in services.iter().chain(users.map(|(_, object)| object)) {
        let item = read(object).unwrap_or_else(|problem| panic!("{problem}"));
        world.put(item.expect("a kind of the mesh"));
    }
    let (mesh, _) = mesh::compile(world.snapshot());
    [("sidecar", "web"), ("router", "edge")].map(|(kind, app)| {
        let id = format!("{kind}~10.0.0.1~{app}.shop~shop.svc.cluster.local");
        let metadata = json!({"NAMESPACE": "shop", "LABELS": {"app": app}});
        let proxy = Proxy::of_node(&id, &metadata, Locality::default(), Flavour::Stock);
        let scope = mesh.scope(&proxy.expect("a node"));
        derive(&scope, &Memo::default())
    })
}

fn short(type_url: &str) -> &str {
    type_url.rsplit('.').next().unwrap_or_default()
}

/// Resources that an object changes, of which those that do not name it are told by the second.
fn changed(object: &Value, with: &Resources, other: &Resources) -> [BTreeSet<String>; 2] {
    let mut found = [BTreeSet::new(), BTreeSet::new()];
    for type_url in [CLUSTER, LISTENER, ROUTE] {
        for resource in with.of_type(type_url) {
            let before = other.get(type_url, &resource.name);
            if before.is_some_and(|before| before.version == resource.version) {
                continue;
            }
            let named = resource.origin.iter().any(|origin| {
                object["kind"] == origin.kind && object["metadata"]["name"] == origin.name
            });
            let place = usize::from(!named);
            found[place].insert(format!("{} {}", short(type_url), resource.name));
        }
    }
    found
}

#[test]
fn whoever_changes_a_resource_is_among_its_origins() {
    let all = without(usize::MAX, &[]);
    let mut shaped: BTreeSet<(String, &str)> = BTreeSet::new();
    for (place, object) in objects().iter().enumerate() {
        let kind = object["kind"].as_str().expect("a kind");
        let name = &object["metadata"]["name"];
        let mut named = BTreeSet::new();
        for (with, other) in all.iter().zip(&without(place, &[])) {
            let [own, unnamed] = changed(object, with, other);
            assert!(
                unnamed.is_empty(),
                "{kind} {name} is no origin of {unnamed:?}"
            );
            named.extend(own);
        }
        assert!(!named.is_empty(), "{kind} {name} changes nothing");
        let types = named.iter().filter_map(|own| own.split(' ').next());
        let types = types.map(|own| match own {
            "Cluster" => "Cluster",
            "Listener" => "Listener",
            _ => "RouteConfiguration",
        });
        shaped.extend(types.map(|own| (kind.to_owned(), own)));
    }
    let expected = [
        ("AuthorizationPolicy", "Listener"),
        ("DestinationRule", "Cluster"),
        ("DestinationRule", "Listener"),
        ("DestinationRule", "RouteConfiguration"),
        ("Gateway", "Listener"),
        ("Gateway", "RouteConfiguration"),
        ("PeerAuthentication", "Cluster"),
        ("PeerAuthentication", "Listener"),
        ("RequestAuthentication", "Listener"),
        ("ServiceEntry", "Cluster"),
        ("ServiceEntry", "Listener"),
        ("Telemetry", "Listener"),
        ("VirtualService", "Listener"),
        ("VirtualService", "RouteConfiguration"),
    ];
    let expected = expected.map(|(kind, of)| (kind.to_owned(), of));
    assert_eq!(shaped, BTreeSet::from(expected));
}

/// A Sidecar also chooses what else there is, which is no fault of what is left.
#[test]
fn a_sidecar_is_among_the_origins_of_what_it_says_itself() {
    let sidecar = networking(
        "Sidecar",
        "own",
        json!({"workloadSelector": {"labels": {"app": "web"}},
            "inboundConnectionPool": {"tcp": {"maxConnections": 7}},
            "ingress": [{"port": {"number": 9000, "name": "tcp", "protocol": "TCP"},
                "defaultEndpoint": "127.0.0.1:9000"}],
            "egress": [{"port": {"number": 9090, "name": "tcp", "protocol": "TCP"}, "bind": "127.0.0.2",
                "hosts": ["*/outside.example"]}, {"hosts": ["./*"]}],
            "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}),
    );
    let [other, _] = without(usize::MAX, &[]);
    let [with, _] = without(usize::MAX, std::slice::from_ref(&sidecar));
    let [named, _] = changed(&sidecar, &with, &other);
    let expected = [
        "Cluster inbound|9000||",
        "Listener 127.0.0.2_9090",
        "Listener virtualInbound",
        "Listener virtualOutbound",
    ];
    for expected in expected {
        assert!(named.contains(expected), "{expected} in {named:?}");
    }
}
