//! What is shown to Envoy: worlds from files, who connects in them, and the mesh configurations to try.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use api::features::Features;
use api::istio_operator::IstioOperator;
use api::mesh_config::MeshConfig;
use api::mesh_networks::MeshNetworks;
use api::snapshot::{Locality, World, read};
use mesh::{Flavour, Proxy, VirtualHosts};
use serde_json::{Map, Value, json};

/// What each node says it belongs to.
const NODE_CLUSTER: &str = "live.example";
/// When objects without a time of creation count as made.
const CREATED: &str = "2026-01-01T00:00:00Z";
/// One proxy in one world.
pub struct Case {
    /// Of the file, and of the proxy.
    pub name: String,
    /// The proxy's xDS node: id, metadata, locality.
    pub node: Value,
    /// The same, as the engine reads it.
    pub proxy: Proxy,
    /// Whether the control plane is set to use both IP families.
    pub dual_stack: bool,
    /// What to bring Envoy to, one after the other, by name.
    pub states: Vec<(&'static str, World)>,
}

/// A world that is being read.
struct Read {
    world: World,
    config: Value,
    dual_stack: bool,
}

impl Read {
    fn new() -> Self {
        Read {
            world: World::new("cluster.local"),
            config: json!({}),
            dual_stack: false,
        }
    }

    fn put(&mut self, mut object: Value) {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            let created = metadata.entry("creationTimestamp");
            created.or_insert_with(|| CREATED.into());
        }
        // What cannot be read is reported elsewhere; the rest of the world is shown.
        if let Ok(Some(item)) = read(&object) {
            self.world.put(item);
        }
    }

    fn with_environment(mut self, variables: &[(&str, &str)]) -> Self {
        self.dual_stack = variables.contains(&("ISTIO_DUAL_STACK", "true"));
        let variables = variables.iter().copied();
        self.world = self.world.with_features(Features::read(variables));
        self
    }

    /// The world with its own mesh configuration, and with it laid over that of an installation.
    fn states(&self) -> Vec<(&'static str, World)> {
        static INSTALLED: LazyLock<Value> = LazyLock::new(installed);
        let mut installed = INSTALLED.clone();
        overlay(&mut installed, &self.config);
        let of = |config: &Value| {
            let mut world = self.world.clone();
            world.configure(MeshConfig::parse(config).expect("a mesh config"));
            world
        };
        vec![
            ("its own mesh config", of(&self.config)),
            ("the installed mesh config", of(&installed)),
        ]
    }

    /// `entry` has the node's id, metadata and locality.
    fn case(&self, name: String, node: Value) -> Case {
        let place = &node["locality"];
        let part = |key: &str| place[key].as_str().unwrap_or_default().to_owned();
        let locality = Locality {
            region: part("region"),
            zone: part("zone"),
            sub_zone: part("sub_zone"),
        };
        let id = node["id"].as_str().unwrap_or_default();
        let read = Proxy::of_node(id, &node["metadata"], locality, Flavour::Stock);
        let read = read.unwrap_or_else(|error| panic!("{name}: {error}"));
        Case {
            name,
            proxy: Proxy {
                node_cluster: NODE_CLUSTER.to_owned(),
                virtual_hosts: VirtualHosts::Apart,
                ..read
            },
            node,
            dual_stack: self.dual_stack,
            states: self.states(),
        }
    }
}

/// Maps are merged deeply, everything else is replaced.
fn overlay(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// The mesh configuration that an installation with the default profile has.
fn installed() -> Value {
    let operator = json!({
        "apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator",
        "metadata": {"name": "installed", "namespace": "istio-system"}, "spec": {"profile": "default"},
    });
    let operator = IstioOperator::parse(&operator).expect("an IstioOperator");
    let seen = install::Observed {
        hub: "registry.example/mesh".to_owned(),
        tag: "v0".to_owned(),
        version: "0.0.0".to_owned(),
        kubernetes: None,
        host: None,
    };
    let resolved = install::resolve(&operator, &seen).expect("the default profile is valid");
    let manifest = install::build(&resolved);
    let map = manifest.objects().find(|object| {
        object.reference.kind == "ConfigMap" && object.body["data"]["mesh"].is_string()
    });
    let text = map.expect("an installation has a mesh config").body["data"]["mesh"].clone();
    documents(text.as_str().unwrap_or_default()).remove(0)
}

fn documents(text: &str) -> Vec<Value> {
    api::yaml::documents(text).expect("YAML")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folder(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    found.sort();
    found
}

/// The golden worlds of the crate `envoy` that ask for resources, whatever flavour they are about.
pub fn ours() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy/testdata");
    let families = folder(&root).into_iter().filter(|path| path.is_dir());
    let files = families.flat_map(|family| folder(&family));
    let cases: Vec<Case> = files
        .filter(|path| path.to_string_lossy().ends_with(".in.yaml"))
        .filter_map(|path| golden(&path))
        .collect();
    assert!(cases.len() >= 30, "only {} worlds were found", cases.len());
    cases
}

/// `None` for a world that asks for something else than a proxy's resources.
fn golden(path: &Path) -> Option<Case> {
    let mut read = Read::new();
    let mut ask = Value::Null;
    for document in documents(&text(path)) {
        match document["kind"].as_str() {
            Some("Ask") => ask = document,
            Some("MeshConfig") => read.config = document["spec"].clone(),
            Some("MeshNetworks") => {
                let networks = MeshNetworks::parse(&document["spec"]).expect("networks");
                read.world.connect(networks);
            }
            Some("Environment") => {
                let spec = document["spec"].as_object().into_iter().flatten();
                let pairs: Vec<(&str, &str)> = spec
                    .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
                    .collect();
                read = read.with_environment(&pairs);
            }
            _ => read.put(document),
        }
    }
    if ask.is_null() {
        return None;
    }
    let asked = &ask["proxy"];
    let place = Locality::parse(asked["locality"].as_str().unwrap_or_default());
    let mut metadata = asked["metadata"].clone();
    if metadata.is_null() {
        metadata = Value::Object(Map::new());
    }
    let node = json!({
        "id": asked["node"],
        "metadata": metadata,
        "locality": {"region": place.region, "zone": place.zone, "sub_zone": place.sub_zone},
    });
    let parent = path.parent().and_then(Path::file_name).unwrap_or_default();
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let file = file.trim_end_matches(".in.yaml");
    Some(read.case(format!("{}/{file}", parent.to_string_lossy()), node))
}

/// The stock proxies of upstream's scenarios: what of them the engine does not know yet it leaves out.
pub fn of_corpora(corpora: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    let families = folder(&corpora.join("xds"));
    for family in families.into_iter().filter(|path| path.is_dir()) {
        let name = family.file_name().unwrap_or_default().to_string_lossy();
        for scenario in folder(&family) {
            scenario_cases(&name, &scenario, &mut cases);
        }
    }
    assert!(!cases.is_empty(), "{} has no scenarios", corpora.display());
    cases
}

fn scenario_cases(family: &str, path: &Path, cases: &mut Vec<Case>) {
    // Some scenarios are about Istio's own filters alone.
    let Ok(config) = std::fs::read_to_string(path.join("expected/mesh.stock.yaml")) else {
        return;
    };
    let mut read = Read::new();
    if let Ok(variables) = std::fs::read_to_string(path.join("env")) {
        let lines = variables.lines().filter_map(|line| line.split_once('='));
        let pairs: Vec<(&str, &str)> = lines.collect();
        read = read.with_environment(&pairs);
    }
    read.config = documents(&config).remove(0);
    if !read.config["meshNetworks"].is_null() {
        let networks = MeshNetworks::parse(&read.config["meshNetworks"]).expect("networks");
        read.world.connect(networks);
    }
    for object in documents(&text(&path.join("config.yaml"))) {
        match object["items"].as_array() {
            Some(items) => items.iter().for_each(|item| read.put(item.clone())),
            None => read.put(object),
        }
    }
    let scenario = path.file_name().unwrap_or_default().to_string_lossy();
    for document in documents(&text(&path.join("proxies.yaml"))) {
        for entry in document.as_array().into_iter().flatten() {
            let kind = entry["type"].as_str().unwrap_or_default();
            if entry["flavour"] != "stock" || !["sidecar", "router"].contains(&kind) {
                continue;
            }
            let part = |key: &str| entry[key].as_str().unwrap_or_default();
            let (id, namespace) = (part("id"), part("namespace"));
            let address = entry["ips"][0].as_str().unwrap_or_default();
            let place = &entry["locality"];
            let node = json!({
                "id": format!("{kind}~{address}~{id}~{namespace}.svc.cluster.local"),
                "metadata": entry["metadata"],
                "locality": {"region": place["region"], "zone": place["zone"], "sub_zone": place["subzone"]},
            });
            cases.push(read.case(format!("{family}/{scenario} {id}"), node));
        }
    }
}
