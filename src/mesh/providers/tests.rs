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
fn a_port_must_be_one() {
    let directory = directory("one.example");
    assert!(directory.find("one.example", 0).is_err());
    assert!(directory.find("one.example", 65536).is_err());
}
