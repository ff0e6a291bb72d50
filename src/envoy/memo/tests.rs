//! What is known is found again, and what changed alone is made anew.

use api::snapshot::{Locality, World, read};
use mesh::{Flavour, Mesh, Proxy, Scopes};
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
