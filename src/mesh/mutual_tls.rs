//! PeerAuthentication: which mTLS mode holds of a namespace, a workload and its ports.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::security::peer_authentication::{Mode as Written, PeerAuthentication};
use api::snapshot::{Labels, Object, Snapshot, selects};
use base::ObjectRef;

/// Whether a port demands mTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Plaintext only.
    Disable,
    /// Both.
    Permissive,
    /// mTLS only.
    Strict,
}

fn mode(written: Written) -> Option<Mode> {
    match written {
        Written::Unset => None,
        Written::Disable => Some(Mode::Disable),
        Written::Permissive => Some(Mode::Permissive),
        Written::Strict => Some(Mode::Strict),
    }
}

/// The mode of a policy, when it says one.
fn of(policy: &PeerAuthentication) -> Option<Mode> {
    mode(policy.mtls.unwrap_or_default().mode)
}

fn is_wide(policy: &PeerAuthentication) -> bool {
    let selector = policy.selector.as_ref();
    selector.is_none_or(|selector| selector.labels.is_empty())
}

/// The oldest policy of a namespace without a selector.
fn wide<'a>(snapshot: &'a Snapshot, namespace: &str) -> Option<&'a Object<PeerAuthentication>> {
    let policies = snapshot.peer_authentications.values();
    policies
        .filter(|policy| policy.meta.namespace() == namespace && is_wide(&policy.spec))
        .min_by_key(|policy| policy.meta.age())
        .map(AsRef::as_ref)
}

/// Which mode holds where.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerModes {
    /// Of the mesh.
    mesh: Level,
    /// Of namespaces with a policy of their own.
    namespaces: BTreeMap<String, Level>,
    /// Of workloads with a policy of their own, by namespace, oldest first.
    workloads: BTreeMap<String, Vec<WorkloadModes>>,
}

/// A mode that holds of many.
#[derive(Clone, Debug, PartialEq)]
struct Level {
    mode: Mode,
    /// The policy that says it.
    origin: Option<Arc<ObjectRef>>,
}

#[derive(Clone, Debug, PartialEq)]
struct WorkloadModes {
    origin: Arc<ObjectRef>,
    selector: Labels,
    mode: Option<Mode>,
    ports: BTreeMap<u16, Option<Mode>>,
}

impl PeerModes {
    /// The mode of all that has no other in a namespace.
    pub fn of_namespace(&self, namespace: &str) -> Mode {
        self.level(namespace).mode
    }

    fn level(&self, namespace: &str) -> &Level {
        self.namespaces.get(namespace).unwrap_or(&self.mesh)
    }

    fn own(&self, namespace: &str, labels: &Labels) -> Option<&WorkloadModes> {
        let mut policies = self.workloads.get(namespace).into_iter().flatten();
        policies.find(|own| selects(&own.selector, labels))
    }

    /// The mode of a workload, and of those of its ports that have a setting.
    pub fn of_workload(&self, namespace: &str, labels: &Labels) -> (Mode, BTreeMap<u16, Mode>) {
        let above = self.of_namespace(namespace);
        let Some(own) = self.own(namespace, labels) else {
            return (above, BTreeMap::new());
        };
        let workload = own.mode.unwrap_or(above);
        let ports = own.ports.iter();
        let ports = ports.map(|(port, mode)| (*port, mode.unwrap_or(workload)));
        (workload, ports.collect())
    }

    /// The policy that says the mode of all that has no other in a namespace.
    pub fn origin_of_namespace(&self, namespace: &str) -> Option<&Arc<ObjectRef>> {
        self.level(namespace).origin.as_ref()
    }

    /// The policies that say the modes of a workload.
    pub fn origin_of_workload(&self, namespace: &str, labels: &Labels) -> Vec<Arc<ObjectRef>> {
        let own = self.own(namespace, labels);
        let above = self.origin_of_namespace(namespace);
        let above = above.filter(|_| own.is_none_or(|own| own.mode.is_none()));
        let own = own.map(|own| &own.origin);
        own.into_iter().chain(above).cloned().collect()
    }

    /// The mode of a port of a workload.
    pub fn of(&self, namespace: &str, labels: &Labels, port: u16) -> Mode {
        let (mode, ports) = self.of_workload(namespace, labels);
        ports.get(&port).copied().unwrap_or(mode)
    }
}

/// The modes that a snapshot says; [`Mode::Permissive`] where it says nothing.
pub(crate) fn collect(snapshot: &Snapshot) -> PeerModes {
    let root = wide(snapshot, &snapshot.mesh.root_namespace);
    let said = root.and_then(|policy| Some((policy, of(&policy.spec)?)));
    let mesh = Level {
        mode: said.map_or(Mode::Permissive, |(_, mode)| mode),
        origin: said.map(|(policy, _)| policy.meta.reference.clone()),
    };
    let mut policies: Vec<_> = snapshot.peer_authentications.values().collect();
    policies.sort_by_key(|policy| policy.meta.age());
    let mut modes = PeerModes {
        mesh: mesh.clone(),
        namespaces: BTreeMap::new(),
        workloads: BTreeMap::new(),
    };
    for policy in policies {
        let namespace = policy.meta.namespace().to_owned();
        if is_wide(&policy.spec) {
            modes
                .namespaces
                .entry(namespace)
                .or_insert_with(|| match of(&policy.spec) {
                    Some(mode) => Level {
                        mode,
                        origin: Some(policy.meta.reference.clone()),
                    },
                    None => mesh.clone(),
                });
            continue;
        }
        // Labels in the root namespace would be those of every workload of the mesh.
        if namespace == snapshot.mesh.root_namespace {
            continue;
        }
        let ports = policy.spec.port_level_mtls.iter();
        let ports =
            ports.filter_map(|(port, tls)| Some((u16::try_from(*port).ok()?, mode(tls.mode))));
        modes
            .workloads
            .entry(namespace)
            .or_default()
            .push(WorkloadModes {
                origin: policy.meta.reference.clone(),
                selector: policy.spec.selector.clone().unwrap_or_default().labels,
                mode: of(&policy.spec),
                ports: ports.collect(),
            });
    }
    modes
}

#[cfg(test)]
mod tests;
