//! Upstream's cases of policies and the filters that they give, compared field by field. They are found
//! through CORPORA; without it nothing is compared, and the test says so.

use std::path::PathBuf;

use api::mesh_config::MeshConfig;
use api::snapshot::{Locality, World, read};
use mesh::{Flavour, Proxy};
use proto::codec::type_url;
use serde_json::{Value, json};

use crate::{Memo, derive_type};

/// Cases that have to be equal.
const EQUAL: usize = 51;

/// The filters that decide, of a sidecar of namespace `foo`: of requests, or of connections.
fn filters(world: &World, protocol: &str) -> Vec<Value> {
    let metadata = json!({"NAMESPACE": "foo", "LABELS": {"app": "httpbin", "version": "v1"}});
    let node = "sidecar~10.0.0.1~test-node.foo~foo.svc.cluster.local";
    let place = Locality::default();
    let proxy = Proxy::of_node(node, &metadata, place, Flavour::Stock).expect("a node");
    let (mesh, _) = mesh::compile(world.snapshot());
    let made = derive_type(&mesh.scope(&proxy), &Memo::default(), type_url::LISTENER);
    let listener = made.get(type_url::LISTENER, "virtualInbound");
    let bytes = listener.expect("the inbound listener").bytes();
    let text = proto::json::text(type_url::LISTENER, &bytes).expect("a known message");
    let listener: Value = serde_json::from_str(&text).expect("JSON");
    let name = match protocol {
        "http" => "virtualInbound-catchall-http",
        _ => "virtualInbound",
    };
    let chains = listener["filterChains"].as_array().expect("chains");
    let chain = chains.iter().find(|chain| chain["name"] == name);
    let own = &chain.expect("a chain for everything")["filters"];
    let own = match protocol {
        "http" => &own[0]["typedConfig"]["httpFilters"],
        _ => own,
    };
    let found = own.as_array().expect("filters").iter();
    let decides = |filter: &&Value| {
        let name = filter["name"].as_str().unwrap_or_default();
        name.ends_with(".rbac") || name.ends_with(".ext_authz")
    };
    found.filter(decides).cloned().collect()
}

fn world(folder: &std::path::Path, case: &Value) -> World {
    let text = |path: &Value| {
        let path = folder.join(path.as_str().expect("a path"));
        std::fs::read_to_string(path).expect("a readable file")
    };
    let mut world = World::new("cluster.local");
    let config = MeshConfig::parse(&case["pipeline_mesh_config"]).expect("a mesh config");
    world.configure(config);
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "my-custom-ext-authz", "namespace": "foo"},
        "spec": {"clusterIP": "10.0.0.9", "ports": [{"name": "http", "port": 9000}]}});
    let policies = api::yaml::documents(&text(&case["input"])).expect("YAML");
    for object in std::iter::once(service).chain(policies) {
        if let Some(item) = read(&object).expect("it can be read") {
            world.put(item);
        }
    }
    world
}

#[test]
fn filters_of_policies_equal_those_of_upstream() {
    let Some(folder) = std::env::var_os("CORPORA") else {
        eprintln!("CORPORA is not set: the {EQUAL} cases of authz/ were not compared");
        return;
    };
    let folder = PathBuf::from(folder).join("authz");
    let text = std::fs::read_to_string(folder.join("cases.json")).expect("cases");
    let cases: Value = serde_json::from_str(&text).expect("JSON");
    let mut equal = 0;
    let mut said = String::new();
    for case in cases["cases"].as_array().expect("a list") {
        let expected: Vec<Value> = case["expected"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|path| {
                let path = folder.join(path.as_str().expect("a path"));
                let text = std::fs::read_to_string(path).expect("a readable file");
                api::yaml::documents(&text).expect("YAML").remove(0)
            })
            .collect();
        let protocol = case["protocol"].as_str().unwrap_or_default();
        let found = filters(&world(&folder, case), protocol);
        if found == expected {
            equal += 1;
        } else {
            let pretty = |all: &[Value]| serde_json::to_string(all).expect("JSON");
            let (found, expected) = (pretty(&found), pretty(&expected));
            said += &format!(
                "{}\n  found    {found}\n  expected {expected}\n",
                case["id"]
            );
        }
    }
    eprintln!("authz: {equal} equal");
    assert!(equal >= EQUAL, "{equal} of {EQUAL} equal\n{said}");
}
