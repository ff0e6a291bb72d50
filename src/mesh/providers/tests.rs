//! Which host a provider means.

use api::mesh_config::MeshConfig;
use api::snapshot::{World, read};
use serde_json::json;

use super::Directory;

/// A directory of a mesh in which `shop` and `bank` declare `both.example`, and `shop` declares
/// `one.example`.
fn directory(service: &str) -> Directory {
    let config = json!({"extensionProviders": [
        {"name": "a", "zipkin": {"service": service, "port": 9411}},
    ]});
    let config = MeshConfig::parse(&config).expect("a mesh config");
    let mut world = World::new("cluster.local");
    for (namespace, host) in [
        ("shop", "both.example"),
        ("bank", "both.example"),
        ("shop", "one.example"),
    ] {
        let entry = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": host, "namespace": namespace},
            "spec": {"hosts": [host], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]},
        });
        let item = read(&entry).expect("readable").expect("a kind of the mesh");
        world.put(item);
    }
    let (mesh, _) = crate::compile(world.snapshot());
    Directory::of(&config, mesh.services())
}

#[test]
fn a_host_needs_its_namespace_when_several_declare_it() {
    let find = |service: &str| directory(service).find(service, 80);
    assert_eq!(find("one.example").expect("one").host, "one.example");
    assert_eq!(find("shop/both.example").expect("one").port, 80);
    let many = find("both.example").expect_err("two");
    assert!(many.contains("namespaces bank, shop declare"), "{many}");
    let none = find("bank/one.example").expect_err("not there");
    assert!(none.contains("nothing declares"), "{none}");
    assert!(find("a/b/c").is_err() && find("").is_err());
}

#[test]
fn a_port_must_be_one_of_the_host() {
    let directory = directory("one.example");
    let find = |port| directory.find("one.example", port);
    assert_eq!(find(80).expect("its port").port, 80);
    for port in [0, 81, 65536, 65536 + 80] {
        let why = find(port).expect_err("not its port");
        assert_eq!(
            why,
            format!("is \"one.example\", of which port {port} is asked for, but it has port 80")
        );
    }
}

#[test]
fn a_host_that_only_stands_for_another_is_no_place_to_call() {
    let config = json!({"extensionProviders": [
        {"name": "a", "zipkin": {"service": "alias.shop.svc.cluster.local", "port": 80}},
    ]});
    let config = MeshConfig::parse(&config).expect("a mesh config");
    let mut world = World::new("cluster.local");
    let alias = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "alias", "namespace": "shop"},
        "spec": {"type": "ExternalName", "externalName": "one.example", "ports": [{"name": "http", "port": 80}]},
    });
    world.put(read(&alias).expect("readable").expect("a kind of the mesh"));
    let (mesh, _) = crate::compile(world.snapshot());
    let directory = Directory::of(&config, mesh.services());
    let why = directory.find("alias.shop.svc.cluster.local", 80);
    let why = why.expect_err("an alias");
    assert!(why.ends_with("has no port that can be called"), "{why}");
}
