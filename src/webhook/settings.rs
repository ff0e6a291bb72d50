//! What injection needs to know of the cluster, followed while it changes: ConfigMap
//! `istio-sidecar-injector`, ConfigMap `istio`, and what the nodes' kubelets can do. What does not parse
//! leaves in force what was.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use ::inject::{MeshConfig, Settings};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serve::Shutdown;
use tokio::sync::watch;
use tracing::{info, warn};

const INJECTOR: &str = "istio-sidecar-injector";
const MESH: &str = "istio";
/// From this minor version of Kubernetes on, sidecars may be init containers that stay.
const NATIVE_SINCE: u32 = 33;

/// Everything that injection follows.
#[derive(Clone, Debug)]
pub struct Injection {
    /// Templates, policy, values; `None` while there are none that can be used.
    pub settings: Option<Settings>,
    /// The mesh.
    pub mesh: MeshConfig,
    /// Whether each node runs native sidecars, by name.
    pub nodes: BTreeMap<String, bool>,
}

impl Injection {
    /// Whether a pod gets a native sidecar: its node's word, or every node's while it has none.
    pub fn native_sidecars(&self, node: &str) -> bool {
        match self.nodes.get(node) {
            Some(native) => *native,
            None => self.nodes.values().all(|native| *native),
        }
    }
}

/// The value; `None` until everything was seen once.
pub type Follow = watch::Receiver<Option<Arc<Injection>>>;

/// Which objects to follow.
#[derive(Clone)]
pub struct Objects {
    /// The way to the API server.
    pub client: Client,
    /// Namespace of the control plane.
    pub namespace: String,
    /// Its revision, `default` for none.
    pub revision: String,
}

/// Follows them until `shutdown`.
pub fn follow(objects: Objects, shutdown: Shutdown) -> (Follow, impl Future<Output = ()>) {
    let (sender, receiver) = watch::channel(None);
    (receiver, run(objects, sender, shutdown))
}

/// The mesh configuration of a text as upstream prints it, defaults and all; null when it cannot be used.
pub fn whole_mesh(text: &str) -> serde_json::Value {
    let parsed = MeshConfig::parse(text);
    parsed.map_or(serde_json::Value::Null, |mesh| mesh.whole())
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    settings: Option<Settings>,
    settings_listed: bool,
    mesh: Option<MeshConfig>,
    nodes: BTreeMap<String, bool>,
    nodes_listed: bool,
}

async fn run(objects: Objects, sender: watch::Sender<Option<Arc<Injection>>>, shutdown: Shutdown) {
    let named = |name: &str| match objects.revision.as_str() {
        "" | "default" => name.to_owned(),
        revision => format!("{name}-{revision}"),
    };
    let mut injector = config_map(&objects, &named(INJECTOR));
    let mut mesh = config_map(&objects, &named(MESH));
    let mut nodes = watcher(
        Api::<Node>::all(objects.client.clone()),
        watcher::Config::default(),
    )
    .default_backoff()
    .boxed();
    let mut seen = Seen::default();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(event) = injector.next() => seen.injector(event),
            Some(event) = mesh.next() => seen.mesh(event),
            Some(event) = nodes.next() => seen.node(event),
        }
        if let Some(mesh) = &seen.mesh
            && seen.settings_listed
            && seen.nodes_listed
        {
            sender.send_replace(Some(Arc::new(Injection {
                settings: seen.settings.clone(),
                mesh: mesh.clone(),
                nodes: seen.nodes.clone(),
            })));
        }
    }
}

fn config_map(
    objects: &Objects,
    name: &str,
) -> impl Stream<Item = watcher::Result<Event<ConfigMap>>> + Unpin + use<> {
    let api: Api<ConfigMap> = Api::namespaced(objects.client.clone(), &objects.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    watcher(api, config).default_backoff().boxed()
}

impl Seen {
    fn injector(&mut self, event: watcher::Result<Event<ConfigMap>>) {
        match event {
            Ok(Event::Apply(map) | Event::InitApply(map)) => {
                match Settings::parse(key(&map, "config"), key(&map, "values")) {
                    Ok(settings) => {
                        info!("injection follows configmap {}", name(&map));
                        self.settings = Some(settings);
                    }
                    Err(error) => warn!(%error, "configmap {} is not used", name(&map)),
                }
            }
            Ok(Event::Delete(map)) => warn!(
                "configmap {} is gone, what it said stays in force",
                name(&map)
            ),
            Ok(Event::Init) => {}
            Ok(Event::InitDone) => {
                self.settings_listed = true;
                if self.settings.is_none() {
                    warn!(
                        "there is no usable configmap {INJECTOR}, pods that ask for injection are refused"
                    );
                }
            }
            Err(error) => warn!(%error, "watching configmap {INJECTOR} failed, trying again"),
        }
    }

    fn mesh(&mut self, event: watcher::Result<Event<ConfigMap>>) {
        match event {
            Ok(Event::Apply(map) | Event::InitApply(map)) => {
                match MeshConfig::parse(key(&map, "mesh")) {
                    Ok(mesh) => {
                        self.mesh = Some(mesh);
                    }
                    Err(error) => warn!(%error, "configmap {} is not used", name(&map)),
                }
            }
            Ok(Event::Delete(_) | Event::Init) => {}
            // Without one, the defaults hold.
            Ok(Event::InitDone) => {
                self.mesh.get_or_insert_default();
            }
            Err(error) => warn!(%error, "watching configmap {MESH} failed, trying again"),
        }
    }

    fn node(&mut self, event: watcher::Result<Event<Node>>) {
        match event {
            Ok(Event::Apply(node) | Event::InitApply(node)) => {
                let name = node.metadata.name.clone().unwrap_or_default();
                self.nodes.insert(name, is_native(&node));
            }
            Ok(Event::Delete(node)) => {
                self.nodes.remove(&node.metadata.name.unwrap_or_default());
            }
            Ok(Event::Init) => self.nodes.clear(),
            Ok(Event::InitDone) => self.nodes_listed = true,
            Err(error) => warn!(%error, "watching nodes failed, trying again"),
        }
    }
}

fn key<'a>(map: &'a ConfigMap, key: &str) -> &'a str {
    let found = map.data.as_ref().and_then(|data| data.get(key));
    found.map_or("", String::as_str)
}

fn name(map: &ConfigMap) -> &str {
    map.metadata.name.as_deref().unwrap_or_default()
}

/// Whether the node's kubelet is new enough; one that does not tell is not.
fn is_native(node: &Node) -> bool {
    let info = node
        .status
        .as_ref()
        .and_then(|status| status.node_info.as_ref());
    let version = info.map_or("", |info| info.kubelet_version.as_str());
    let mut parts = version.trim_start_matches('v').split('.');
    let major: Option<u32> = parts.next().and_then(|part| part.parse().ok());
    let minor: Option<u32> = parts.next().and_then(|part| part.parse().ok());
    major > Some(1) || (major == Some(1) && minor >= Some(NATIVE_SINCE))
}

#[cfg(test)]
mod tests;
