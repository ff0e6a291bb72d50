//! Objects from a Kubernetes API server: one watch per kind, each of which survives malformed objects, failures
//! and kinds that the server does not know. Only reads.

mod metrics;

use std::time::Duration;

use api::snapshot::{Key, Kind};
use base::ObjectRef;
use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::Change;
use crate::change::{Id, MeshMap};
use crate::roster::Roster;
use metrics::Happened;

pub use metrics::Metrics;

/// A kind as the API server calls it.
#[derive(Clone, Copy, Debug)]
struct Watched {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
}

const fn watched(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Watched {
    Watched {
        group,
        version,
        kind,
        plural,
    }
}

/// The longest pause between two attempts at a watch.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

const NETWORKING: &str = "networking.istio.io";
const EXTENSIONS: &str = "extensions.istio.io";
const SECURITY: &str = "security.istio.io";

/// The place of the ConfigMap with the settings among what is watched: they must not depend on whether all
/// ConfigMaps may be read.
const SETTINGS: usize = 0;
/// ConfigMaps that are listed at once: few are of use, and some are large.
const FEW: u32 = 50;

/// Everything that the mesh reads, and what is judged only.
const WATCHED: [Watched; 25] = [
    watched("", "v1", "ConfigMap", "configmaps"),
    watched("", "v1", "Namespace", "namespaces"),
    watched("", "v1", "Node", "nodes"),
    watched("", "v1", "Service", "services"),
    watched("", "v1", "Pod", "pods"),
    watched("", "v1", "Secret", "secrets"),
    watched("", "v1", "ConfigMap", "configmaps"),
    watched("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
    watched(NETWORKING, "v1", "VirtualService", "virtualservices"),
    watched(NETWORKING, "v1", "DestinationRule", "destinationrules"),
    watched(NETWORKING, "v1", "Gateway", "gateways"),
    watched(NETWORKING, "v1", "ServiceEntry", "serviceentries"),
    watched(NETWORKING, "v1", "WorkloadEntry", "workloadentries"),
    watched(NETWORKING, "v1", "Sidecar", "sidecars"),
    watched("networking.k8s.io", "v1", "Ingress", "ingresses"),
    watched("networking.k8s.io", "v1", "IngressClass", "ingressclasses"),
    watched(SECURITY, "v1", "PeerAuthentication", "peerauthentications"),
    watched(
        SECURITY,
        "v1",
        "AuthorizationPolicy",
        "authorizationpolicies",
    ),
    watched(NETWORKING, "v1alpha3", "EnvoyFilter", "envoyfilters"),
    watched(NETWORKING, "v1beta1", "ProxyConfig", "proxyconfigs"),
    watched(NETWORKING, "v1", "WorkloadGroup", "workloadgroups"),
    watched(EXTENSIONS, "v1alpha1", "WasmPlugin", "wasmplugins"),
    watched(
        EXTENSIONS,
        "v1alpha1",
        "TrafficExtension",
        "trafficextensions",
    ),
    watched(
        SECURITY,
        "v1",
        "RequestAuthentication",
        "requestauthentications",
    ),
    watched("telemetry.istio.io", "v1", "Telemetry", "telemetries"),
];

impl Watched {
    fn resource(&self) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: self.api_version(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }

    /// Whether the mesh is made of objects of this kind; others are judged only, and not waited for.
    fn is_read(&self) -> bool {
        Kind::of(&self.api_version(), self.kind).is_some()
    }

    /// What an object of this kind is to the mesh.
    fn id(&self, key: Key) -> Id {
        Id::of_subject(&ObjectRef {
            api_version: self.api_version(),
            kind: self.kind.to_owned(),
            namespace: (!key.namespace.is_empty()).then_some(key.namespace),
            name: key.name,
        })
    }

    fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }
}

/// Between two attempts at a watch.
#[derive(Default)]
struct Pauses(u32);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = Duration::from_millis(800) * 2u32.pow(self.0);
        self.0 = (self.0 + 1).min(3);
        Some(pause.min(LONGEST_PAUSE))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = 0;
    }
}

type Events = BoxStream<'static, (usize, watcher::Result<Event<DynamicObject>>)>;

/// Tells `changes` what the API server holds, now and whenever it changes, until nobody listens.
/// Watches that fail are tried again, with growing pauses of at most five seconds: what people change while the API
/// server is away is to be seen soon after it is back.
pub async fn follow(
    client: Client,
    mesh_map: MeshMap,
    metrics: Metrics,
    changes: mpsc::Sender<Vec<Change>>,
) {
    let events = WATCHED.iter().enumerate();
    let events = events.map(|(index, watched)| open(&client, &mesh_map, index, watched));
    let mut events: SelectAll<Events> = events.collect();
    let mut listings = Listings::new(mesh_map, metrics);
    loop {
        let (index, event) = tokio::select! {
            () = changes.closed() => return,
            event = events.next() => event.expect("watches never end"),
        };
        let batch = listings.take_in(index, event);
        if !batch.is_empty() && changes.send(batch).await.is_err() {
            return;
        }
    }
}

fn open(client: &Client, mesh_map: &MeshMap, index: usize, watched: &Watched) -> Events {
    let resource = watched.resource();
    let (api, config): (Api<DynamicObject>, _) = if index == SETTINGS {
        let selector = format!("metadata.name={}", mesh_map.name);
        (
            Api::namespaced_with(client.clone(), &mesh_map.namespace, &resource),
            watcher::Config::default().fields(&selector),
        )
    } else {
        let config = match watched.kind {
            "Secret" => watcher::Config::default().fields(&other_secrets()),
            "ConfigMap" => watcher::Config::default().page_size(FEW),
            _ => watcher::Config::default(),
        };
        (Api::all_with(client.clone(), &resource), config)
    };
    watcher(api, config)
        .backoff(Pauses::default())
        .map(move |event| (index, event))
        .boxed()
}

/// Selects Secrets that may hold certificates: releases and tokens are many and large.
fn other_secrets() -> String {
    let unused = ["helm.sh/release.v1", "kubernetes.io/service-account-token"];
    unused.map(|kind| format!("type!={kind}")).join(",")
}

/// How far each watch is.
struct Listings {
    mesh_map: MeshMap,
    metrics: Metrics,
    rosters: Vec<Roster>,
    missing: Vec<bool>,
    complete: bool,
}

impl Listings {
    fn new(mesh_map: MeshMap, metrics: Metrics) -> Self {
        Listings {
            mesh_map,
            metrics,
            rosters: WATCHED.iter().map(|_| Roster::default()).collect(),
            missing: WATCHED.iter().map(Watched::is_read).collect(),
            complete: false,
        }
    }

    /// The changes that an event of one watch makes.
    fn take_in(
        &mut self,
        index: usize,
        event: watcher::Result<Event<DynamicObject>>,
    ) -> Vec<Change> {
        let watched = &WATCHED[index];
        match event {
            Ok(Event::Init) => {
                self.rosters[index].begin();
                Vec::new()
            }
            Ok(Event::InitApply(object) | Event::Apply(object)) => {
                let object = as_written(object, watched);
                let Some(id) = self.id(index, &object) else {
                    return Vec::new();
                };
                let happened = match self.rosters[index].seen(&key_of(&object)) {
                    true => Happened::Added,
                    false => Happened::Updated,
                };
                self.metrics.count(watched.group, watched.kind, happened);
                id.told(&object)
            }
            Ok(Event::Delete(object)) => {
                let object = as_written(object, watched);
                let Some(id) = self.id(index, &object) else {
                    return Vec::new();
                };
                self.rosters[index].gone(&key_of(&object));
                self.metrics
                    .count(watched.group, watched.kind, Happened::Deleted);
                vec![id.gone()]
            }
            Ok(Event::InitDone) => self.listed(index),
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status)))
                if status.code == 404 =>
            {
                // An API server that does not know the kind has no objects of it.
                debug!(kind = watched.kind, "not served by this API server");
                self.rosters[index].begin();
                self.listed(index)
            }
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status)))
                if status.code == 403 && watched.kind == "Secret" =>
            {
                warn!("secrets may not be read: gateways get no certificates ({status})");
                self.listed(index)
            }
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status)))
                if status.code == 403 && watched.kind == "ConfigMap" && index != SETTINGS =>
            {
                warn!("configmaps may not be read: nobody gets roots of configmap:// ({status})");
                self.listed(index)
            }
            Err(error) => {
                warn!(kind = watched.kind, %error, "a watch failed, retrying");
                Vec::new()
            }
        }
    }

    /// What an object that one watch shows is to the mesh. The settings come by a watch of their own.
    fn id(&self, index: usize, object: &Value) -> Option<Id> {
        let id = Id::of(object, &self.mesh_map)?;
        ((id == Id::Mesh) == (index == SETTINGS)).then_some(id)
    }

    fn listed(&mut self, index: usize) -> Vec<Change> {
        let lost = self.rosters[index].finish();
        let id = |key| match index {
            SETTINGS => Id::Mesh,
            other => WATCHED[other].id(key),
        };
        let mut changes: Vec<Change> = lost.into_iter().map(|key| id(key).gone()).collect();
        self.missing[index] = false;
        if !self.complete && !self.missing.contains(&true) {
            self.complete = true;
            changes.push(Change::Complete);
        }
        changes
    }
}

/// The object as its author wrote it. Items of a list do not say what they are.
fn as_written(mut object: DynamicObject, watched: &Watched) -> Value {
    object.metadata.managed_fields = None;
    let mut value = object.data;
    value["apiVersion"] = Value::String(watched.api_version());
    value["kind"] = Value::String(watched.kind.to_owned());
    value["metadata"] = serde_json::to_value(object.metadata)
        .expect("object metadata holds strings, numbers and times only");
    value
}

fn key_of(object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    Key::new(text("namespace"), text("name"))
}

#[cfg(test)]
mod tests;
