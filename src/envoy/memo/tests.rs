//! What is known is found again, and what changed alone is made anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::mesh_config::MeshConfig;
use api::snapshot::{Locality, World, read};
use mesh::{Flavour, Mesh, Proxy, Scope, Scopes, VirtualHosts};
use proto::codec::type_url::LISTENER;
use serde_json::{Value, json};

use crate::{Memo, derive};

const SERVICES: usize = 3;

fn service(number: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": format!("web-{number}"), "namespace": "shop"},
        "spec": {"clusterIP": format!("10.96.0.{number}"), "clusterIPs": [format!("10.96.0.{number}")],
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
}

fn rule(timeout: &str) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "web-0", "namespace": "shop"},
        "spec": {"hosts": ["web-0.shop.svc.cluster.local"], "http": [
            {"timeout": timeout, "route": [{"destination": {"host": "web-0.shop.svc.cluster.local"}}]}]}})
}

fn put(world: &mut World, object: &Value) {
    let item = read(object).expect("valid").expect("of the mesh");
    world.put(item);
}

fn derive_all(mesh: &Mesh, scopes: &mut Scopes, memo: &Memo) -> Vec<crate::Resources> {
    let proxies = ["shop", "bank"].map(|namespace| {
        let node = format!("sidecar~10.0.0.1~a.{namespace}~{namespace}.svc.cluster.local");
        let metadata = json!({"NAMESPACE": namespace});
        let flavour = Flavour::IstioProxy;
        Proxy::of_node(&node, &metadata, Locality::default(), flavour).expect("a node")
    });
    let derived = proxies.map(|proxy| derive(&scopes.scope(mesh, &proxy), memo));
    derived.into()
}

#[test]
fn what_callers_share_is_made_once_and_stays() {
    let mut world = World::new("cluster.local");
    (0..SERVICES).for_each(|number| put(&mut world, &service(number)));
    put(&mut world, &rule("1s"));
    let (memo, mut scopes) = (Memo::default(), Scopes::default());
    let mut mesh = mesh::compile(world.snapshot()).0;
    let mut kept = Vec::new();
    for timeout in ["2s", "3s"] {
        kept.push(derive_all(&mesh, &mut scopes, &memo));
        assert_eq!(memo.clusters.len(), SERVICES, "clusters");
        // One service has a rule.
        assert_eq!(memo.defaults.len(), SERVICES - 1, "virtual hosts");
        // Names are short for callers of one namespace.
        assert_eq!(memo.domains.len(), 2 * SERVICES, "domains");
        put(&mut world, &rule(timeout));
        mesh = mesh::update(&mesh, world.snapshot()).0;
    }
}

#[test]
fn domains_outlive_changes_of_settings_that_they_do_not_depend_on() {
    let mut world = World::new("cluster.local");
    (0..SERVICES).for_each(|number| put(&mut world, &service(number)));
    let (memo, mut scopes) = (Memo::default(), Scopes::default());
    let mut mesh = mesh::compile(world.snapshot()).0;
    for seconds in 1..4 {
        let config = json!({"connectTimeout": format!("{seconds}s")});
        world.configure(MeshConfig::parse(&config).expect("a mesh config"));
        mesh = mesh::update(&mesh, world.snapshot()).0;
        derive_all(&mesh, &mut scopes, &memo);
        // Names are short for callers of one namespace.
        assert_eq!(memo.domains.len(), 2 * SERVICES, "{config}");
        memo.sweep();
    }
}

#[test]
fn workloads_for_which_different_objects_say_the_same_keep_each_their_own() {
    let mut world = shop();
    let apps = ["a", "b"];
    for app in apps {
        let spec = json!({"selector": {"matchLabels": {"app": app}}, "accessLogging": [{"disabled": true}]});
        let mut telemetry = object("telemetry.istio.io/v1", "Telemetry", "shop", spec);
        telemetry["metadata"]["name"] = app.into();
        put(&mut world, &telemetry);
    }
    let proxies = apps.map(|app| {
        let node = "sidecar~10.0.0.1~a.shop~shop.svc.cluster.local";
        let metadata = json!({"NAMESPACE": "shop", "LABELS": {"app": app}});
        let flavour = Flavour::IstioProxy;
        Proxy::of_node(node, &metadata, Locality::default(), flavour).expect("a node")
    });
    let (memo, mut scopes) = (Memo::default(), Scopes::default());
    let mut derived = |mesh: &Mesh| {
        let resources = proxies.iter();
        let resources = resources.map(|proxy| derive(&scopes.scope(mesh, proxy), &memo));
        resources.collect::<Vec<_>>()
    };
    let mesh = mesh::compile(world.snapshot()).0;
    let before = derived(&mesh);
    put(&mut world, &service(7));
    let after = derived(&mesh::update(&mesh, world.snapshot()).0);
    for ((app, before), after) in apps.iter().zip(&before).zip(&after) {
        let [before, after] = [before, after].map(|resources| {
            let listener = resources.get(LISTENER, "virtualOutbound");
            listener.expect("a listener")
        });
        assert!(Arc::ptr_eq(before, after), "{app}");
        let origin = after.origin.iter().map(|origin| origin.name.as_str());
        let origin: Vec<&str> = origin.filter(|name| apps.contains(name)).collect();
        assert_eq!(origin, [*app]);
    }
}

/// How much of each kind is known.
fn sizes(memo: &Memo) -> BTreeMap<&'static str, usize> {
    let scopes = memo.scopes.borrow().values().map(Vec::len).sum();
    BTreeMap::from([
        ("parts of scopes", scopes),
        ("outbound views", memo.outbounds.borrow().len()),
        ("rules without HTTP", memo.opaque.len()),
        ("clusters", memo.clusters.len()),
        ("sets of clusters", memo.cluster_sets.len()),
        ("domains", memo.domains.len()),
        ("default hosts", memo.defaults.len()),
        ("virtual hosts", memo.hosts.len()),
        ("sets", memo.sets.len()),
        ("sets of routes", memo.route_sets.len()),
    ])
}

/// Sidecars of two namespaces, in both ways to take virtual hosts, and a gateway, followed as streams are.
struct Followed {
    memo: Memo,
    scopes: Scopes,
    proxies: Vec<(Proxy, Option<Scope>)>,
    mesh: Mesh,
    /// What is derived stays in use.
    kept: Vec<crate::Resources>,
}

impl Followed {
    fn new(world: &World) -> Self {
        let proxy = |kind: &str, namespace: &str, virtual_hosts| {
            let node = format!("{kind}~10.0.0.1~a.{namespace}~{namespace}.svc.cluster.local");
            let metadata = json!({"NAMESPACE": namespace, "LABELS": {"app": "web"}});
            let place = Locality::default();
            let proxy = Proxy::of_node(&node, &metadata, place, Flavour::IstioProxy);
            let proxy = Proxy {
                virtual_hosts,
                ..proxy.expect("a node")
            };
            (proxy, None)
        };
        let proxies = vec![
            proxy("sidecar", "shop", VirtualHosts::Inline),
            proxy("sidecar", "bank", VirtualHosts::Apart),
            proxy("router", "edge", VirtualHosts::Inline),
        ];
        let mut made = Followed {
            memo: Memo::default(),
            scopes: Scopes::default(),
            proxies,
            mesh: mesh::compile(world.snapshot()).0,
            kept: Vec::new(),
        };
        made.derive();
        made
    }

    fn derive(&mut self) {
        for (proxy, before) in &mut self.proxies {
            let scope = self.scopes.scope(&self.mesh, proxy);
            let scope = match before {
                Some(before) => scope.keeping(before),
                None => scope,
            };
            self.kept.push(derive(&scope, &self.memo));
            *before = Some(scope);
        }
    }

    /// What became more with an object.
    fn grown(&mut self, world: &mut World, object: &Value) -> Vec<&'static str> {
        let before = sizes(&self.memo);
        put(world, object);
        self.mesh = mesh::update(&self.mesh, world.snapshot()).0;
        self.derive();
        let after = sizes(&self.memo).into_iter();
        let grown = after.filter(|(kind, size)| *size > before[kind]);
        grown.map(|(kind, _)| kind).collect()
    }
}

fn shop() -> World {
    let mut world = World::new("cluster.local");
    (0..SERVICES).for_each(|number| put(&mut world, &service(number)));
    put(&mut world, &rule("1s"));
    let gateway = json!({"selector": {"app": "web"}, "servers": [
        {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]});
    let gateway = object("networking.istio.io/v1", "Gateway", "edge", gateway);
    put(&mut world, &gateway);
    world
}

fn object(api_version: &str, kind: &str, namespace: &str, spec: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind,
        "metadata": {"name": "some", "namespace": namespace}, "spec": spec})
}

#[test]
fn what_no_proxy_sees_makes_nothing_anew() {
    let mut world = shop();
    let mut followed = Followed::new(&world);
    let far = |api_version: &str, kind: &str, spec: Value| object(api_version, kind, "far", spec);
    let networking = |kind: &str, spec: Value| far("networking.istio.io/v1", kind, spec);
    let web = "web-1.shop.svc.cluster.local";
    let to = json!([{"route": [{"destination": {"host": web}}]}]);
    let mut hidden = service(7);
    hidden["metadata"]["namespace"] = "far".into();
    hidden["metadata"]["annotations"] = json!({"networking.istio.io/exportTo": "."});
    let ports = json!([{"number": 80, "name": "http", "protocol": "HTTP"}]);
    for unseen in [
        hidden,
        networking(
            "VirtualService",
            json!({"hosts": [web], "exportTo": ["."], "http": to}),
        ),
        networking(
            "DestinationRule",
            json!({"host": web, "exportTo": ["."],
            "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}),
        ),
        networking(
            "ServiceEntry",
            json!({"hosts": ["api.example"], "exportTo": ["."], "ports": ports}),
        ),
        networking("Sidecar", json!({"egress": [{"hosts": ["./*"]}]})),
        networking(
            "Gateway",
            json!({"selector": {"app": "far"}, "servers": [
            {"port": ports[0], "hosts": ["*"]}]}),
        ),
        networking(
            "WorkloadEntry",
            json!({"address": "10.3.0.1", "labels": {"app": "far"}}),
        ),
        far(
            "security.istio.io/v1",
            "AuthorizationPolicy",
            json!({"rules": [{}]}),
        ),
        far(
            "security.istio.io/v1",
            "RequestAuthentication",
            json!({"jwtRules": [{"issuer": "a", "jwks": "{\"keys\":[]}"}]}),
        ),
        far(
            "telemetry.istio.io/v1",
            "Telemetry",
            json!({"accessLogging": [{"disabled": true}]}),
        ),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "far", "labels": {"a": "b"}}}),
    ] {
        let grown = followed.grown(&mut world, &unseen);
        assert_eq!(grown, [""; 0], "{unseen}");
    }
}

#[test]
fn a_rule_makes_anew_what_is_made_of_it_alone() {
    let mut world = shop();
    let mut followed = Followed::new(&world);
    let sets = followed.memo.sets.len();
    let grown = followed.grown(&mut world, &rule("2s"));
    let of_routes = ["parts of scopes", "sets", "sets of routes", "virtual hosts"];
    assert_eq!(grown, of_routes);
    // The gateway's routes: no listeners, clusters or names.
    assert_eq!(followed.memo.sets.len(), sets + 1);
    let sets = followed.memo.sets.len();
    // What one workload decides about calls is in its listeners only.
    let policy = object(
        "security.istio.io/v1",
        "AuthorizationPolicy",
        "shop",
        json!({"rules": [{}]}),
    );
    let grown = followed.grown(&mut world, &policy);
    assert_eq!(grown, ["parts of scopes", "sets"]);
    assert_eq!(followed.memo.sets.len(), sets + 1);
}
