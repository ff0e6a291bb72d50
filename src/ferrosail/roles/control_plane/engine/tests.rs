//! A live engine on a folder of files, and what bad objects do to it: each is named, and nobody else notices.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::features::Features;
use api::snapshot::Locality;
use mesh::{Flavour, Proxy};
use serde_json::{Value, json};
use serve::Shutdown;
use serve::health::Readiness;
use serve::metrics::registry;
use source::MeshMap;
use source::store::{Findings, State};
use tokio::sync::watch;
use tokio::time::timeout;
use xds::Resources;

use super::{Engine, KeyFetching, Metrics, Settings, Source, start};
use crate::roles::services::Services;

/// Reading, judging and deriving hundreds of objects, on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

const GOOD: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: '{rootNamespace: istio-system}'}
---
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: bank}
spec: {clusterIPs: [10.96.1.1], selector: {app: ledger}, ports: [{name: http, port: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ledger-a, namespace: bank, labels: {kubernetes.io/service-name: ledger}}
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.1.0.1]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ledger, namespace: bank}
spec:
  hosts: [ledger]
  http: [{timeout: 3s, route: [{destination: {host: ledger, subset: v1}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ledger, namespace: bank}
spec: {host: ledger, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: bank}
spec: {egress: [{hosts: ['./*']}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: bank}
spec:
  selector: {istio: bank-edge}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [bank.example.com]}]
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {clusterIPs: [10.96.2.1], selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: shop}
spec: {clusterIPs: [10.96.2.2], selector: {app: ratings}, ports: [{name: http, port: 9080}]}
";
/// Comes together with the bad objects.
const MARKER: &str = "
apiVersion: v1
kind: Service
metadata: {name: marker, namespace: shop}
spec: {clusterIPs: [10.96.2.3], ports: [{name: http, port: 9080}]}
";
const MARKED: &str = "outbound|9080||marker.shop.svc.cluster.local";

/// A folder of its own that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("engine-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    /// Appears as a whole.
    fn write(&self, file: &str, text: &str) {
        let hidden = self.0.join(format!(".{file}"));
        std::fs::write(&hidden, text).expect("written");
        std::fs::rename(hidden, self.0.join(file)).expect("renamed");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Running {
    folder: Folder,
    engine: Engine,
    shutdown: Shutdown,
    _services: Services,
}

fn running(name: &str) -> Running {
    let folder = Folder::new(name);
    folder.write("good.yaml", GOOD);
    let shutdown = Shutdown::new();
    let mut services = Services::default();
    let settings = Settings {
        source: Source::Files(folder.0.clone()),
        mesh_map: MeshMap::of_revision("istio-system", ""),
        domain: "cluster.local".to_owned(),
        features: Features::default(),
        metrics: Metrics::register(&mut registry("pilot")),
        keys: KeyFetching::default(),
    };
    let loaded = Readiness::new().check("configuration", "the files");
    let engine = start(settings, &mut services, loaded, &shutdown);
    Running {
        folder,
        engine,
        shutdown,
        _services: services,
    }
}

type Has = watch::Receiver<Arc<Resources>>;

fn proxy(kind: &str, namespace: &str) -> Proxy {
    let id = format!("{kind}~10.0.0.1~web-1.{namespace}~{namespace}.svc.cluster.local");
    let metadata = json!({"NAMESPACE": namespace, "CLUSTER_ID": "Kubernetes",
        "LABELS": {"app": "ledger", "istio": "bank-edge"}});
    let proxy = Proxy::of_node(&id, &metadata, Locality::default(), Flavour::IstioProxy);
    proxy.expect("a proxy")
}

impl Running {
    /// What a proxy of a namespace is to have.
    async fn proxy(&self, kind: &str, namespace: &str) -> Has {
        let subscribed = self.engine.push.subscribe(proxy(kind, namespace));
        let subscribed = timeout(SOON, subscribed).await;
        subscribed.expect("in time").expect("it runs")
    }
}

async fn until(has: &mut Has, after: &str, what: impl Fn(&Resources) -> bool) {
    let there = timeout(SOON, has.wait_for(|resources| what(resources))).await;
    let there = there.unwrap_or_else(|_| panic!("not in time after {after}"));
    there.expect("it runs");
}

/// A bad object, and what is wrong with it: `field words`.
struct Bad {
    object: Value,
    wrong: BTreeSet<String>,
}

/// Those that the rules of validation are tested with, as far as their kinds are Istio's.
fn bad_objects() -> Vec<Bad> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../validate/testdata");
    let mut bad = Vec::new();
    for entry in std::fs::read_dir(folder).expect("testdata") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let Some(kind) = name.strip_suffix(".in.yaml") else {
            continue;
        };
        let read = |path: &Path| std::fs::read_to_string(path).expect("readable");
        let said = read(&path.with_file_name(format!("{kind}.out.txt")));
        for object in api::yaml::documents(&read(&path)).expect("YAML") {
            let group = object["apiVersion"].as_str().unwrap_or_default();
            let group = group.split('/').next().unwrap_or_default();
            let kind = object["kind"].as_str().unwrap_or_default();
            if api::crds::schema(group, kind).is_none() {
                continue;
            }
            let name = object["metadata"]["name"].as_str().expect("a name");
            let errors = said
                .lines()
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": Error "));
            let wrong: BTreeSet<String> = errors.map(str::to_owned).collect();
            if !wrong.is_empty() {
                bad.push(Bad { object, wrong });
            }
        }
    }
    bad
}

/// Objects as one YAML text.
fn text(objects: &[Bad]) -> String {
    let objects = objects.iter();
    let documents = objects.map(|bad| format!("{}\n---\n", bad.object));
    documents.chain([MARKER.to_owned()]).collect()
}

fn wrong_with(findings: &Findings, object: &Value) -> BTreeSet<String> {
    let of_object = findings.values().filter(|finding| {
        let subject = &finding.subject;
        object["kind"] == *subject.kind && object["metadata"]["name"] == *subject.name
    });
    let problems = of_object.flat_map(|finding| &finding.problems);
    problems
        .map(|problem| format!("{} {}", problem.field, problem.message))
        .collect()
}

/// What a proxy is sent, by type and name, in versions, which are made of the bytes.
fn sent(resources: &Resources) -> BTreeMap<(&'static str, String), String> {
    let tables = resources.tables();
    let each = tables.flat_map(|(kind, table)| table.iter().map(move |sent| (kind, sent)));
    each.map(|(kind, sent)| ((kind, sent.name.to_string()), sent.version_text()))
        .collect()
}

#[tokio::test]
async fn bad_objects_are_each_named_and_change_nothing_for_others() {
    let bad = bad_objects();
    assert!(bad.len() > 100, "{} only", bad.len());
    let running = running("bad");
    let mut findings = running.engine.findings.clone();
    // In the order in which they are told of changes.
    let sidecar = running.proxy("sidecar", "bank").await;
    let gateway = running.proxy("router", "bank").await;
    // A gateway sees every service, whatever a Sidecar beside it says.
    let mut beside = running.proxy("router", "shop").await;
    assert!(sidecar.borrow().of_type(CLUSTER).count() > 2);
    let before = [&sidecar, &gateway, &beside].map(|has| sent(&has.borrow()));

    running.folder.write("bad.yaml", &text(&bad));
    // They stop no push, not even where they are visible.
    until(&mut beside, "all of them", |resources| {
        resources.get(CLUSTER, MARKED).is_some()
    })
    .await;
    let named = timeout(SOON, findings.wait_for(|found| found.len() >= bad.len())).await;
    let named = named.expect("in time").expect("it runs").clone();
    for Bad { object, wrong } in &bad {
        let metadata = &object["metadata"];
        assert_eq!(
            wrong_with(&named, object),
            *wrong,
            "{} {metadata}",
            object["kind"]
        );
    }
    // Who does not see them has the same as before, byte by byte.
    assert_eq!(sent(&sidecar.borrow()), before[0]);
    // A gateway sees every service, and bad Gateways that select all of them: what it had before is as it was.
    let now = sent(&gateway.borrow());
    for (what, version) in &before[1] {
        assert_eq!(now.get(what), Some(version), "{what:?}");
    }

    // What is wrong is over with the objects, and everybody has what there was.
    std::fs::remove_file(running.folder.0.join("bad.yaml")).expect("removed");
    until(&mut beside, "their end", |resources| {
        sent(resources) == before[2]
    })
    .await;
    let cleared = timeout(SOON, findings.wait_for(Findings::is_empty)).await;
    cleared.expect("in time").expect("it runs");
    running.shutdown.cancel();
}

/// One after the other, so that none hides behind another: the push that each is part of arrives.
#[tokio::test]
async fn no_bad_object_stops_the_push_that_it_is_part_of() {
    let mesh_map = MeshMap::of_revision("istio-system", "");
    let read = |text: &str| source::files::read_text(text, &mesh_map).expect("YAML");
    let mut good = State::new("cluster.local", Features::default(), 0);
    good.take_in(read(GOOD));
    let compiled = |state: &State| {
        let (mesh, _) = mesh::compile(state.world().snapshot());
        (Some(Arc::new(mesh)), Some(state.world().clone()))
    };
    let (mesh, world) = compiled(&good);
    let (meshes, mesh) = watch::channel(mesh);
    let (worlds, world) = watch::channel(world);
    let shutdown = Shutdown::new();
    let (push, pushing) = xds::push(mesh, world, shutdown.clone());
    tokio::spawn(pushing);
    let mut beside = push
        .subscribe(proxy("router", "shop"))
        .await
        .expect("it runs");
    for (number, Bad { object, .. }) in bad_objects().iter().enumerate() {
        let name = format!("marker-{number}");
        let mut state = good.clone();
        state.take_in(read(&object.to_string()));
        state.take_in(read(&MARKER.replace("marker", &name)));
        let (mesh, world) = compiled(&state);
        worlds.send_replace(world);
        meshes.send_replace(mesh);
        let marked = MARKED.replace("marker", &name);
        until(&mut beside, &object.to_string(), |resources| {
            resources.get(CLUSTER, &marked).is_some()
        })
        .await;
    }
    shutdown.cancel();
}
