//! Telemetry: who is told what of the calls of a workload. The levels (mesh, namespace, workload) are
//! merged here, providers and their services found; what Envoy is told of it is not decided here.

mod judgement;
mod logs;
mod metrics;
mod spans;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::mesh_config::{ExtensionProvider, MeshConfig, Use};
use api::snapshot::{Labels, Object, Snapshot};
use api::telemetry::{Mode, Telemetry as Written};
use base::{ObjectRef, Problem};

use crate::attachment::attaches;
use crate::providers::{Destination, Directory};

pub use logs::{Log, Logs};
pub use metrics::{Metrics, Override, Tag};
pub use spans::{Spans, Tracer};

/// What a workload tells of its calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telemetry {
    /// Of those that it makes, and of those that a gateway passes on.
    pub client: Reports,
    /// Of those that it takes.
    pub server: Reports,
    /// The objects that say so.
    pub origin: Vec<Arc<ObjectRef>>,
}

impl Telemetry {
    /// Whether a provider takes spans.
    pub fn leaves_spans(&self) -> bool {
        let ends = [&self.client, &self.server];
        ends.iter().any(|end| matches!(end.spans, Spans::To(_)))
    }
}

/// What is told of the calls in one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reports {
    /// Lines in access logs.
    pub logs: Logs,
    /// Spans.
    pub spans: Spans,
    /// Metrics for Prometheus: one entry per provider.
    pub metrics: Vec<Metrics>,
}

/// A provider with the services that it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Collector {
    /// As the user wrote it.
    pub provider: ExtensionProvider,
    /// Where it is; none for those that need no service.
    pub at: Option<Destination>,
    /// Who decides what is sampled, when that is somebody else.
    pub sampler: Option<Destination>,
}

/// What holds in all namespaces.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Telemetries {
    /// Where a namespace says nothing.
    mesh: Arc<Telemetry>,
    namespaces: BTreeMap<String, OfNamespace>,
    /// Defaults of the mesh and its providers, for workloads with a Telemetry of their own.
    known: Known,
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
}

/// What holds in one namespace.
#[derive(Clone, Debug, PartialEq)]
struct OfNamespace {
    wide: Arc<Telemetry>,
    /// For all of its workloads: the mesh's and its own.
    levels: Vec<Arc<Object<Written>>>,
    /// For some of them, oldest first.
    selecting: Vec<Arc<Object<Written>>>,
}

/// Providers by their names in lower case, and the defaults of the mesh.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    config: Arc<MeshConfig>,
    providers: BTreeMap<String, Arc<Collector>>,
    /// Why providers that need a service have none.
    faults: BTreeMap<String, String>,
}

impl Known {
    fn of(config: &Arc<MeshConfig>, directory: &Directory) -> Self {
        let mut known = Known {
            config: config.clone(),
            providers: BTreeMap::new(),
            faults: BTreeMap::new(),
        };
        for provider in &config.extension_providers {
            let key = provider.name.to_lowercase();
            // The first of a name counts.
            if known.providers.contains_key(&key) {
                continue;
            }
            let mut find = |service: Option<(&str, u32)>, field: &str| {
                let (service, port) = service?;
                let found = directory.find(service, port);
                let fault = |why: String| {
                    known.faults.insert(key.clone(), format!("{field} {why}"));
                };
                found.map_err(fault).ok()
            };
            let collector = Collector {
                at: find(provider.service(), "its service"),
                sampler: find(provider.sampling_service(), "the service of its sampler"),
                provider: provider.clone(),
            };
            known.providers.insert(key, collector.into());
        }
        known
    }

    /// A provider, whether it can be used or not.
    fn get(&self, name: &str) -> Option<&Arc<Collector>> {
        self.providers.get(&name.to_lowercase())
    }

    /// A provider that can be used for `usage`.
    ///
    /// # Errors
    /// Why there is none, as the rest of a sentence about its name.
    fn usable(&self, name: &str, usage: Use) -> Result<&Arc<Collector>, String> {
        let wanted = || {
            let fitting = self.providers.values().filter(|own| {
                let own = own.provider.usage();
                own == Some(usage)
            });
            let names: Vec<&str> = fitting.map(|own| own.provider.name.as_str()).collect();
            match names.is_empty() {
                true => "expected the name of one of extensionProviders".to_owned(),
                false => format!("expected one of {}", names.join(", ")),
            }
        };
        let Some(found) = self.get(name) else {
            return Err(format!("is {name:?}, which is no provider, {}", wanted()));
        };
        if found.provider.usage() != Some(usage) {
            let purpose = match usage {
                Use::AccessLogging => "takes no access logs",
                Use::Tracing => "takes no spans",
                Use::Metrics => "takes no metrics",
                Use::Authorization => "does not authorize",
            };
            return Err(format!("is {name:?}, which {purpose}, {}", wanted()));
        }
        match self.faults.get(&name.to_lowercase()) {
            Some(fault) => Err(format!("is {name:?}, but {fault}")),
            None => Ok(found),
        }
    }
}

/// What a snapshot says of telemetry.
pub(crate) fn collect(snapshot: &Snapshot, places: &Directory) -> Telemetries {
    let config = &snapshot.mesh;
    let known = Known::of(config, places);
    let mut by_namespace: BTreeMap<String, Vec<Arc<Object<Written>>>> = BTreeMap::new();
    for telemetry in snapshot.telemetries.values() {
        let namespace = telemetry.meta.namespace().to_owned();
        by_namespace
            .entry(namespace)
            .or_default()
            .push(telemetry.clone());
    }
    for own in by_namespace.values_mut() {
        own.sort_by(|a, b| a.meta.age().cmp(&b.meta.age()));
    }
    let wide = |namespace: &str| {
        let own = by_namespace.get(namespace).into_iter().flatten();
        own.clone().find(|own| own.spec.is_wide()).cloned()
    };
    let root = wide(&config.root_namespace);
    let problems = judgement::of(&known, root.as_deref(), &by_namespace);
    let namespaces = by_namespace.iter().map(|(namespace, own)| {
        let mut levels: Vec<Arc<Object<Written>>> = root.iter().cloned().collect();
        if *namespace != config.root_namespace {
            levels.extend(wide(namespace));
        }
        let of = OfNamespace {
            wide: known.merged(&levels).into(),
            levels,
            selecting: own
                .iter()
                .filter(|own| !own.spec.is_wide())
                .cloned()
                .collect(),
        };
        (namespace.clone(), of)
    });
    let namespaces = namespaces.collect();
    let levels: Vec<Arc<Object<Written>>> = root.into_iter().collect();
    Telemetries {
        mesh: known.merged(&levels).into(),
        namespaces,
        known,
        problems,
    }
}

impl Telemetries {
    /// What a workload tells.
    pub(crate) fn of(&self, namespace: &str, labels: &Labels) -> Arc<Telemetry> {
        let Some(own) = self.namespaces.get(namespace) else {
            return self.mesh.clone();
        };
        let selecting = own.selecting.iter().filter(|telemetry| {
            let spec = &telemetry.spec;
            let policy = (telemetry.meta.namespace(), spec.labels(), spec.targets());
            attaches(policy, (namespace, labels))
        });
        let mut levels = selecting.cloned().peekable();
        if levels.peek().is_none() {
            return own.wide.clone();
        }
        let levels: Vec<_> = own.levels.iter().cloned().chain(levels).collect();
        self.known.merged(&levels).into()
    }
}

impl Known {
    /// What holds under these levels, of which later ones outdo earlier ones.
    fn merged(&self, levels: &[Arc<Object<Written>>]) -> Telemetry {
        let specs: Vec<&Written> = levels.iter().map(|level| &level.spec).collect();
        let of = |end: Mode| Reports {
            logs: logs::merged(self, &specs, end),
            spans: spans::merged(self, &specs, end),
            metrics: metrics::merged(self, &specs, end),
        };
        Telemetry {
            client: of(Mode::Client),
            server: of(Mode::Server),
            origin: levels
                .iter()
                .map(|level| level.meta.reference.clone())
                .collect(),
        }
    }
}

/// Names of providers.
fn names(of: &[api::telemetry::ProviderRef]) -> Vec<&str> {
    of.iter().map(|provider| provider.name.as_str()).collect()
}

/// The names of a list of the mesh's defaults.
fn defaults(of: &[String]) -> Vec<&str> {
    of.iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests;
