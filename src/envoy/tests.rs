//! Golden worlds (`testdata/*/*.in.yaml` with `*.out.yaml`; UPDATE_GOLDENS=1 rewrites them) and what
//! holds of every derivation. With CORPORA set, all scenarios of that folder are derived as well.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use api::features::Features;
use api::mesh_config::MeshConfig;
use api::mesh_networks::MeshNetworks;
use api::snapshot::{Locality, World, read};
use mesh::{Flavour, Proxy};
use proto::codec::{self, type_url};
use serde_json::{Value, json};

use crate::{Memo, Resources, assign, derive};

const TYPES: [(&str, &str); 5] = [
    ("CDS", type_url::CLUSTER),
    ("EDS", type_url::ENDPOINT),
    ("LDS", type_url::LISTENER),
    ("RDS", type_url::ROUTE),
    ("NDS", type_url::NAME_TABLE),
];

struct Case {
    world: World,
    proxy: Proxy,
    show: Vec<String>,
    problems: Vec<String>,
}

fn case(text: &str) -> Case {
    let mut world = World::new("cluster.local");
    let mut problems = Vec::new();
    let mut ask = Value::Null;
    for document in api::yaml::documents(text).expect("the case is YAML") {
        match document["kind"].as_str() {
            Some("Ask") => ask = document,
            Some("MeshConfig") => {
                let config = MeshConfig::parse(&document["spec"]).expect("a mesh config");
                world.configure(config);
            }
            Some("Environment") => {
                let spec = document["spec"].as_object().into_iter().flatten();
                let spec = spec.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
                world = world.with_features(Features::read(spec));
            }
            Some("MeshNetworks") => {
                let networks = MeshNetworks::parse(&document["spec"]).expect("networks");
                world.connect(networks);
            }
            _ => match read(&document) {
                Ok(Some(item)) => drop(world.put(item)),
                Ok(None) => {}
                Err(problem) => problems.push(problem.to_string()),
            },
        }
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let node = text(&ask["proxy"]["node"]);
    let flavour = Flavour::parse(&text(&ask["proxy"]["flavour"])).expect("a flavour");
    let metadata = &ask["proxy"]["metadata"];
    let place = Locality::parse(&text(&ask["proxy"]["locality"]));
    let mut proxy = Proxy::of_node(&node, metadata, place, flavour).expect("a node");
    proxy.node_cluster = text(&ask["proxy"]["cluster"]);
    let show = ask["show"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
        .collect();
    Case {
        world,
        proxy,
        show,
        problems,
    }
}

/// Every resource by `TYPE name`, as JSON.
fn all(world: &World, resources: &Resources) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (short, url) in TYPES {
        let json = |bytes: &[u8]| -> Value {
            let text = proto::json::text(url, bytes).expect("a known message");
            let mut value: Value = serde_json::from_str(&text).expect("JSON");
            // The text has maps in any order.
            value.sort_all_objects();
            value
        };
        for resource in resources.of_type(url) {
            let name = &resource.name;
            found.push((format!("{short} {name}"), json(&resource.bytes())));
        }
        if short == "EDS" {
            for view in resources.endpoints.values() {
                let known = world
                    .endpoints()
                    .get(&view.host)
                    .cloned()
                    .unwrap_or_default();
                let bytes = codec::encode_endpoint(&assign(view, &known));
                found.push((format!("EDS {}", view.cluster), json(&bytes)));
            }
        }
    }
    found
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let families = std::fs::read_dir(root).expect("goldens are there");
    let mut found: Vec<PathBuf> = families
        .map(|family| family.expect("readable").path())
        .filter(|family| family.is_dir())
        .flat_map(|family| std::fs::read_dir(family).expect("a folder"))
        .map(|file| file.expect("readable").path())
        .filter(|path| path.to_string_lossy().ends_with(".in.yaml"))
        // Questions about calls are asked in `simulate`.
        .filter(|path| {
            !path
                .parent()
                .is_some_and(|family| family.ends_with("simulate"))
        })
        .collect();
    found.sort();
    assert!(found.len() >= 5, "goldens are there");
    found
}

fn derived(path: &Path) -> (Case, Resources) {
    let text = std::fs::read_to_string(path).expect("the case can be read");
    let mut case = case(&text);
    let (mesh, problems) = mesh::compile(case.world.snapshot());
    case.problems
        .extend(problems.iter().map(ToString::to_string));
    let resources = derive(&mesh.scope(&case.proxy), &Memo::default());
    (case, resources)
}

#[test]
fn worlds_give_their_golden_resources() {
    for path in cases() {
        let (case, resources) = derived(&path);
        let found = all(&case.world, &resources);
        let mut shown: Vec<Value> = Vec::new();
        for wanted in &case.show {
            let resource = found.iter().find(|(name, _)| name == wanted);
            let resource = resource.unwrap_or_else(|| panic!("{}: no {wanted}", path.display()));
            shown.push(resource.1.clone());
        }
        let out = api::yaml::print(&json!({"resources": shown, "problems": case.problems}));
        let golden = PathBuf::from(path.to_string_lossy().replace(".in.yaml", ".out.yaml"));
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(&golden, &out).expect("the golden can be written");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(
            expected,
            out,
            "{}; UPDATE_GOLDENS=1 rewrites it",
            golden.display()
        );
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for path in cases() {
        assert_eq!(derived(&path).1, derived(&path).1, "{}", path.display());
    }
}

/// Names under `key`, wherever they stand.
fn named(value: &Value, key: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == key
                    && let Some(text) = value.as_str()
                {
                    into.insert(text.to_owned());
                }
                named(value, key, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| named(item, key, into)),
        _ => {}
    }
}

#[test]
fn nothing_refers_to_what_is_not_there() {
    for path in cases() {
        let (case, resources) = derived(&path);
        let mut clusters = BTreeSet::new();
        let mut routes = BTreeSet::new();
        for (_, value) in all(&case.world, &resources) {
            named(&value, "cluster", &mut clusters);
            named(&value, "routeConfigName", &mut routes);
        }
        let has = |url: &str, name: &str| resources.get(url, name).is_some();
        for cluster in clusters {
            let known = has(type_url::CLUSTER, &cluster);
            assert!(known, "{}: cluster {cluster}", path.display());
        }
        for route in routes {
            let known = has(type_url::ROUTE, &route);
            assert!(known, "{}: route {route}", path.display());
        }
    }
}

#[test]
fn any_order_of_events_gives_the_same_resources() {
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/services/http_and_tcp.in.yaml"),
    )
    .expect("the case can be read");
    let mut documents: Vec<&str> = text.split("---\n").collect();
    let ask = documents.pop().expect("the last document asks");
    let of = |documents: &[&str]| {
        let case = case(&format!("{}\n---\n{ask}", documents.join("\n---\n")));
        let (mesh, _) = mesh::compile(case.world.snapshot());
        let resources = derive(&mesh.scope(&case.proxy), &Memo::default());
        all(&case.world, &resources)
    };
    let expected = of(&documents);
    documents.reverse();
    assert_eq!(of(&documents), expected);
    documents.rotate_left(1);
    assert_eq!(of(&documents), expected);
}

#[test]
fn every_scenario_of_the_corpora_is_derived() {
    let Some(folder) = std::env::var_os("CORPORA") else {
        eprintln!("CORPORA is not set: no scenario was derived");
        return;
    };
    let folder = PathBuf::from(folder).join("xds");
    let index = std::fs::read_to_string(folder.join("index.json")).expect("an index");
    let index: Value = serde_json::from_str(&index).expect("JSON");
    let mut count = 0;
    for scenario in index["scenarios"].as_array().into_iter().flatten() {
        let path = folder.join(scenario["path"].as_str().expect("a path"));
        let text = |name: &str| std::fs::read_to_string(path.join(name)).expect("a file");
        let mut world = World::new("cluster.local");
        for object in api::yaml::documents(&text("config.yaml")).expect("YAML") {
            if let Ok(Some(item)) = read(&object) {
                world.put(item);
            }
        }
        let (mesh, _) = mesh::compile(world.snapshot());
        for proxy in api::yaml::documents(&text("proxies.yaml")).expect("YAML") {
            for entry in proxy.as_array().into_iter().flatten() {
                let node = format!(
                    "{}~{}~{}~{}.svc.cluster.local",
                    entry["type"].as_str().unwrap_or_default(),
                    entry["ips"][0].as_str().unwrap_or_default(),
                    entry["id"].as_str().unwrap_or_default(),
                    entry["namespace"].as_str().unwrap_or_default(),
                );
                let flavour = Flavour::parse(entry["flavour"].as_str().unwrap_or_default());
                let flavour = flavour.expect("a flavour");
                let metadata = &entry["metadata"];
                let place = Locality::default();
                let Ok(proxy) = Proxy::of_node(&node, metadata, place, flavour) else {
                    continue;
                };
                let resources = derive(&mesh.scope(&proxy), &Memo::default());
                assert!(!all(&world, &resources).is_empty(), "{}", path.display());
                count += 1;
            }
        }
    }
    eprintln!("{count} proxies derived");
    assert!(count > 0, "the corpora have proxies");
}
