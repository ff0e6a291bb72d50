//! Generation of configuration, timed: the scenarios of upstream's own benchmarks, each beside the
//! figure that was recorded for upstream, and a cold start. The scenarios are found through CORPORA.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use api::mesh_config::{ExtensionProvider, FileFormat, FileLog, MeshConfig};
use api::snapshot::{Locality, World, read};
use envoy::{Memo, derive, derive_type};
use mesh::{Flavour, Mesh, Proxy, Scope, Scopes};
use proto::codec::type_url;
use serde_json::{Value, json};

/// As in the control plane.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long one figure is measured, and how often at least.
const TIME: Duration = Duration::from_millis(400);
const TIMES: usize = 9;
/// What upstream calls the making of its model.
const REBUILT: &str = "InitPushContext";
/// Name of each kind in upstream's benchmarks, in the index of the scenarios, and on the wire.
const KINDS: [(&str, &str, &str); 4] = [
    ("RouteGeneration", "RDS", type_url::ROUTE),
    ("ClusterGeneration", "CDS", type_url::CLUSTER),
    ("ListenerGeneration", "LDS", type_url::LISTENER),
    ("NameTableGeneration", "NDS", type_url::NAME_TABLE),
];

fn main() {
    // `cargo bench --bench generation -- Route http`: rows whose name holds each of these.
    let words = std::env::args().skip(1);
    let wanted: Vec<String> = words.filter(|word| !word.starts_with('-')).collect();
    if wanted.is_empty() {
        cold_start();
    }
    let Some(folder) = std::env::var_os("CORPORA") else {
        println!("CORPORA is not set: upstream's scenarios were not run");
        return;
    };
    let folder = PathBuf::from(folder).join("bench");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a readable file");
    let recorded = recorded(&text("README.md"));
    println!(
        "upstream: 2 cores of a Xeon at 2.50 GHz, Go 1.26, quiet; here: {}",
        machine()
    );
    let columns = ("", "ns/op", "upstream", "factor", "kB", "upstream");
    let (name, ours, theirs, factor, size, their_size) = columns;
    println!("{name:<48}{ours:>13}{theirs:>13}{factor:>8}{size:>8}{their_size:>9}");
    let index: Value = serde_json::from_str(&text("index.json")).expect("JSON");
    for scenario in index.as_array().into_iter().flatten() {
        let field = |name: &str| scenario[name].as_str().unwrap_or_default();
        let role = match field("proxyType") {
            role @ ("sidecar" | "router") => role,
            other => {
                println!("{}: no proxies of type {other} yet", field("name"));
                continue;
            }
        };
        let name = field("name");
        let kinds = KINDS.iter().filter(|(_, short, _)| {
            let mut asked = field("benchmarks").split([' ', ';']);
            asked.any(|kind| kind == *short)
        });
        let generated = kinds.map(|(bench, _, type_url)| (*bench, Some(*type_url)));
        // The model of the world whose name table is asked for was not measured.
        let rebuilt = (!field("benchmarks").contains("NDS")).then_some((REBUILT, None));
        let rows = rebuilt.into_iter().chain(generated).filter(|(bench, _)| {
            let row = format!("{bench}/{name}");
            recorded.contains_key(&row) && wanted.iter().all(|word| row.contains(word))
        });
        let rows: Vec<Row> = rows.collect();
        if !rows.is_empty() {
            measure(&folder.join(field("file")), name, role, &rows, &recorded);
        }
    }
}

/// What upstream calls it, and the type of what is generated, unless it is the mesh that is.
type Row = (&'static str, Option<&'static str>);

fn measure(
    file: &Path,
    name: &str,
    role: &str,
    rows: &[Row],
    recorded: &BTreeMap<String, (f64, f64)>,
) {
    let text = std::fs::read_to_string(file).expect("a readable file");
    let objects = documents(&text);
    let world = world(objects.clone());
    let mesh = mesh::compile(world.snapshot()).0;
    let scope = mesh.scope(&proxy(role));
    let show = |bench: &str, took: Duration, size: Option<usize>| {
        let of = format!("{bench}/{name}");
        let known = recorded.get(&of);
        let nanos = took.as_nanos() as f64;
        let (theirs, factor) = match known {
            // Nothing was generated, so nothing can be compared.
            Some((theirs, _)) if size == Some(0) => (format!("{theirs:.0}"), "-".to_owned()),
            Some((theirs, _)) => (format!("{theirs:.0}"), format!("{:.1}", theirs / nanos)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let size = size.map_or_else(String::new, |size| format!("{:.1}", size as f64 / 1000.0));
        let their_size = known.map_or_else(String::new, |(_, size)| format!("{size}"));
        println!("{of:<48}{nanos:>13.0}{theirs:>13}{factor:>8}{size:>8}{their_size:>9}");
    };
    for (bench, type_url) in rows {
        let Some(type_url) = type_url else {
            show(bench, rebuilding(&world, &objects, role), None);
            let took = median(|| (), |()| mesh::compile(world.snapshot()));
            println!("{:<48}{:>13}", "  from nothing", took.as_nanos());
            continue;
        };
        let resources = derive_type(&scope, &Memo::default(), type_url);
        let sizes = resources
            .of_type(type_url)
            .map(|resource| resource.bytes().len());
        let took = median(
            || known_before(&scope, type_url),
            |memo| derive_type(&scope, &memo, type_url),
        );
        show(bench, took, Some(sizes.sum()));
    }
}

/// As upstream's `InitPushContext`, whose objects are converted when they come: what the mesh is after a change, and
/// what the proxy sees of it. The change: of every kind one object was made anew.
fn rebuilding(world: &World, objects: &[Value], role: &str) -> Duration {
    let mut changed = world.clone();
    let mut kinds = BTreeSet::new();
    for object in objects {
        if kinds.insert(object["kind"].as_str()) {
            let mut object = object.clone();
            object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
            put(&mut changed, object);
        }
    }
    let snapshots = [changed.snapshot(), world.snapshot()];
    let proxy = proxy(role);
    let mut scopes = Scopes::default();
    let mesh = mesh::compile(snapshots[1]).0;
    scopes.scope(&mesh, &proxy);
    let state = RefCell::new((mesh, scopes, 0));
    median(
        || (),
        |()| {
            let (mesh, scopes, turn) = &mut *state.borrow_mut();
            let (next, problems) = mesh::update(mesh, snapshots[*turn % 2]);
            let scope = scopes.scope(&next, &proxy);
            *turn += 1;
            (std::mem::replace(mesh, next), problems, scope)
        },
    )
}

/// An empty memo; routes are asked for by name, so that these are known.
fn known_before(scope: &Scope, type_url: &str) -> Memo {
    let memo = Memo::default();
    if type_url == type_url::ROUTE {
        derive_type(scope, &memo, type_url::LISTENER);
    }
    memo
}

/// 1,000 services of two endpoints each: from objects as the API server tells them to the first
/// configuration.
fn cold_start() {
    let objects: Vec<Value> = (0..1000).flat_map(of_service).collect();
    let took = median(
        || objects.clone(),
        |objects| {
            let world = world(objects);
            let mesh = mesh::compile(world.snapshot()).0;
            derive(&mesh.scope(&proxy("sidecar")), &Memo::default())
        },
    );
    println!("cold start, 1,000 services of 2 endpoints: {took:.1?}");
    let mesh: Mesh = mesh::compile(world(objects).snapshot()).0;
    let scope = mesh.scope(&proxy("sidecar"));
    let took = median(Memo::default, |memo| derive(&scope, &memo));
    println!("everything for one sidecar of it, nothing known before: {took:.1?}");
    let memo = Memo::default();
    let kept = derive(&scope, &memo);
    let took = median(|| (), |()| derive(&scope, &memo));
    println!("the same, known before: {took:.1?}");
    drop(kept);
}

/// Documents as upstream's tools read them: of a key that stands twice the last counts. One scenario has such.
fn documents(text: &str) -> Vec<Value> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        budget: serde_saphyr::budget! { max_nodes: 10_000_000, max_documents: 100_000 },
    };
    serde_saphyr::from_multiple_with_options(text, options).expect("YAML")
}

fn of_service(number: usize) -> Vec<Value> {
    let (name, namespace) = (format!("svc-{number}"), format!("ns-{}", number % 10));
    let address = |of: usize| format!("10.{of}.{}.{}", number / 250, number % 250 + 1);
    let pod = |place: usize| {
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("{name}-{place}"), "namespace": namespace,
                "labels": {"app": name, "security.istio.io/tlsMode": "istio"}},
            "spec": {"serviceAccountName": name, "nodeName": "node", "containers": []},
            "status": {"podIPs": [{"ip": address(10 + place)}],
                "conditions": [{"type": "Ready", "status": "True"}]}})
    };
    let endpoint = |place: usize| {
        json!({"addresses": [address(10 + place)], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": format!("{name}-{place}"), "namespace": namespace}})
    };
    vec![
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": address(96), "clusterIPs": [address(96)], "selector": {"app": name},
                "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}),
        pod(0),
        pod(1),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": format!("{name}-1"), "namespace": namespace,
                "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [endpoint(0), endpoint(1)]}),
    ]
}

fn world(objects: Vec<Value>) -> World {
    let mut world = World::new("cluster.local");
    // Beside the providers that every mesh has, upstream's scenarios have one that logs in JSON.
    let mut config = MeshConfig::default();
    config.extension_providers.push(ExtensionProvider {
        name: "envoy-json".to_owned(),
        envoy_file_access_log: Some(FileLog {
            path: "/dev/stdout".to_owned(),
            log_format: Some(FileFormat {
                labels: Some(Default::default()),
                ..FileFormat::default()
            }),
            ..FileLog::default()
        }),
        ..ExtensionProvider::default()
    });
    world.configure(config);
    for object in objects {
        put(&mut world, object);
    }
    world
}

fn put(world: &mut World, mut object: Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata
            .entry("namespace")
            .or_insert_with(|| "default".into());
    }
    if let Ok(Some(item)) = read(&object) {
        world.put(item);
    }
}

/// The proxy of the scenarios: in namespace `default`, a gateway or not.
fn proxy(role: &str) -> Proxy {
    let node = format!("{role}~1.1.1.1~proxy.default~default.svc.cluster.local");
    // By which the Gateways of the scenarios select.
    let labels = json!({"istio.io/benchmark": "true"});
    let metadata = json!({"NAMESPACE": "default", "CLUSTER_ID": "Kubernetes", "LABELS": labels});
    let flavour = Flavour::IstioProxy;
    Proxy::of_node(&node, &metadata, Locality::default(), flavour).expect("a node")
}

/// The median time of `run`; what `prepare` takes does not count.
fn median<P, R>(prepare: impl Fn() -> P, run: impl Fn(P) -> R) -> Duration {
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < TIMES || start.elapsed() < TIME {
        let prepared = prepare();
        let began = Instant::now();
        let result = black_box(run(black_box(prepared)));
        times.push(began.elapsed());
        drop(result);
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// The rows of the recorded table: name → nanoseconds, kilobytes.
fn recorded(text: &str) -> BTreeMap<String, (f64, f64)> {
    let number = |text: &str| text.replace(',', "").parse::<f64>().unwrap_or_default();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, nanos, _, _, size, ..] = cells[..] else {
            return None;
        };
        let nanos = number(nanos);
        (nanos > 0.0).then(|| (name.to_owned(), (nanos, number(size))))
    });
    rows.collect()
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split_once(": "))
        .map_or("unknown", |(_, name)| name);
    format!("{cores} cores, {model}")
}
