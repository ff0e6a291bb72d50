//! `compile`: what proxies would get from the control plane, from files, without a cluster. The
//! same path as the control plane's own, from the store on.

mod bootstrap;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::features::Features;
use api::mesh_config::MeshConfig;
use api::mesh_networks::MeshNetworks;
use api::snapshot::{HostEndpoints, Locality, World, read as read_object};
use clap::{Args, ValueEnum};
use envoy::{EndpointView, Memo, Resources, assign, derive};
use mesh::{Flavour, Proxy};
use proto::codec::{self, type_url};
use serde_json::{Map, Value, json};

/// Arguments of `compile`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// File with Kubernetes and Istio objects; several are read in order
    #[arg(
        long = "filename",
        short = 'f',
        value_name = "FILE",
        required_unless_present = "output"
    )]
    filenames: Vec<PathBuf>,
    /// File with the mesh config; key meshNetworks holds the networks
    #[arg(long, value_name = "FILE")]
    mesh: Option<PathBuf>,
    /// File with the proxies: id, type, ips, namespace, locality, metadata
    #[arg(long, value_name = "FILE")]
    proxies: PathBuf,
    /// Only proxies of this flavour, istio-proxy or stock; without it each one's own
    #[arg(long)]
    flavour: Option<String>,
    /// Folder for one file per proxy, named PROXY.FLAVOUR.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What to write of each proxy
    #[arg(long, short, value_name = "WHAT")]
    output: Option<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// What the control plane would send
    Resources,
    /// What its Envoy would be started with
    Bootstrap,
}

/// When objects without a time of creation count as made.
const CREATED: &str = "2026-01-01T00:00:00Z";

pub(crate) fn run(arguments: &Arguments) -> Result<String, String> {
    let wanted = match &arguments.flavour {
        Some(text) => Some(flavour(text)?),
        None => None,
    };
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let pairs = environment.iter().map(|(name, value)| (&**name, &**value));
    let mut world = World::new("cluster.local").with_features(Features::read(pairs));
    let mut config = json!({});
    if let Some(path) = &arguments.mesh {
        config = documents(path)?.into_iter().next().unwrap_or(config);
        world.configure(MeshConfig::parse(&config)?);
        if !config["meshNetworks"].is_null() {
            world.connect(MeshNetworks::parse(&config["meshNetworks"])?);
        }
    }
    for path in &arguments.filenames {
        for object in documents(path)? {
            match read_object(&dated(object)) {
                Ok(Some(item)) => drop(world.put(item)),
                Ok(None) => {}
                Err(problem) => eprintln!("{problem}"),
            }
        }
    }
    let (mesh, problems) = mesh::compile(world.snapshot());
    for problem in problems {
        eprintln!("{problem}");
    }
    std::fs::create_dir_all(&arguments.out)
        .map_err(|error| format!("cannot create {}: {error}", arguments.out.display()))?;
    let mut written = Vec::new();
    for entry in entries(&arguments.proxies)? {
        let (mut proxy, own) = proxy(&entry, wanted)?;
        proxy.node_cluster = bootstrap::node_cluster(&entry, &config).unwrap_or_default();
        if wanted.is_some_and(|wanted| own.is_some_and(|own| own != wanted)) {
            continue;
        }
        let dump = match arguments.output {
            Some(Output::Bootstrap) => {
                let dual_stack = world.snapshot().features.dual_stack;
                bootstrap::of(&entry, &config, dual_stack)?
            }
            Some(Output::Resources) | None => {
                let resources = derive(&mesh.scope(&proxy), &Memo::default());
                let endpoints = |view: &EndpointView| world.endpoints().get(&view.host).cloned();
                dump(&resources, endpoints)?
            }
        };
        let name = format!("{}.{}.json", proxy.id, proxy.flavour.as_str());
        let path = arguments.out.join(&name);
        let text = serde_json::to_string_pretty(&dump).expect("a JSON value prints");
        std::fs::write(&path, text + "\n")
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        written.push(name);
    }
    Ok(written.iter().map(|name| format!("{name}\n")).collect())
}

/// Everything that a proxy would get, by the short names of the resource types.
fn dump(
    resources: &Resources,
    endpoints: impl Fn(&EndpointView) -> Option<Arc<HostEndpoints>>,
) -> Result<Value, String> {
    let mut all = Map::new();
    for (short, url) in [
        ("CDS", type_url::CLUSTER),
        ("EDS", type_url::ENDPOINT),
        ("LDS", type_url::LISTENER),
        ("RDS", type_url::ROUTE),
        ("ECDS", type_url::EXTENSION),
        ("NDS", type_url::NAME_TABLE),
    ] {
        let mut list = Vec::new();
        if url == type_url::ENDPOINT {
            for view in resources.endpoints.values() {
                let known = endpoints(view).unwrap_or_default();
                let bytes = codec::encode_endpoint(&assign(view, &known));
                list.push(resource(url, &bytes)?);
            }
        }
        for found in resources.of_type(url) {
            list.push(resource(url, &found.bytes())?);
        }
        all.insert(short.to_owned(), Value::Array(list));
    }
    Ok(Value::Object(all))
}

fn resource(url: &str, bytes: &[u8]) -> Result<Value, String> {
    let text = proto::json::text(url, bytes).map_err(|error| error.to_string())?;
    let mut value: Value = serde_json::from_str(&text)
        .map_err(|error| format!("a resource has no readable JSON: {error}"))?;
    if let Value::Object(fields) = &mut value {
        fields.insert("@type".to_owned(), url.into());
    }
    Ok(sorted(value))
}

/// Keys in alphabetical order, as files are compared.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut pairs: Vec<(String, Value)> = fields.into_iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(
                pairs
                    .into_iter()
                    .map(|(key, value)| (key, sorted(value)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// A proxy, and the flavour that its entry names.
fn proxy(entry: &Value, wanted: Option<Flavour>) -> Result<(Proxy, Option<Flavour>), String> {
    let text = |key: &str| entry[key].as_str().unwrap_or_default();
    let id = text("id");
    let own = match text("flavour") {
        "" => None,
        name => Some(flavour(name)?),
    };
    let address = entry["ips"][0].as_str().unwrap_or_default();
    let node = format!(
        "{}~{address}~{id}~{}.svc.cluster.local",
        text("type"),
        text("namespace")
    );
    let place = &entry["locality"];
    let part = |key: &str| place[key].as_str().unwrap_or_default().to_owned();
    let locality = Locality {
        region: part("region"),
        zone: part("zone"),
        sub_zone: part("subzone"),
    };
    let chosen = own.or(wanted).unwrap_or(Flavour::IstioProxy);
    let found = Proxy::of_node(&node, &entry["metadata"], locality, chosen);
    found
        .map(|proxy| (proxy, own))
        .map_err(|error| format!("proxy {id:?}: {error}"))
}

fn flavour(text: &str) -> Result<Flavour, String> {
    Flavour::parse(text).ok_or_else(|| format!("flavour {text:?}: expected istio-proxy or stock"))
}

fn dated(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        && !metadata.contains_key("creationTimestamp")
    {
        metadata.insert("creationTimestamp".to_owned(), CREATED.into());
    }
    object
}

/// The proxies of a file: one list, or documents.
fn entries(path: &Path) -> Result<Vec<Value>, String> {
    let documents = documents(path)?.into_iter();
    let flat = documents.flat_map(|document| match document {
        Value::Array(items) => items,
        one => vec![one],
    });
    Ok(flat.collect())
}

/// The documents of a YAML file; items of Lists stand for themselves.
fn documents(path: &Path) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let found =
        api::yaml::documents(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let flat = found.into_iter().flat_map(|document| {
        match (document["kind"].as_str(), document["items"].as_array()) {
            (Some("List"), Some(items)) => items.clone(),
            _ => vec![document],
        }
    });
    Ok(flat.collect())
}
