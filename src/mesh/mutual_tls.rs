//! PeerAuthentication: which mTLS mode holds of a namespace, a workload and its ports.

use std::collections::BTreeMap;

use api::security::peer_authentication::{Mode as Written, PeerAuthentication};
use api::snapshot::{Labels, Object, Snapshot, selects};

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
    mesh: Mode,
    /// Of namespaces with a policy of their own.
    namespaces: BTreeMap<String, Mode>,
    /// Of workloads with a policy of their own, by namespace, oldest first.
    workloads: BTreeMap<String, Vec<WorkloadModes>>,
}

#[derive(Clone, Debug, PartialEq)]
struct WorkloadModes {
    selector: Labels,
    mode: Option<Mode>,
    ports: BTreeMap<u16, Option<Mode>>,
}

impl PeerModes {
    /// The mode of all that has no other in a namespace.
    pub fn of_namespace(&self, namespace: &str) -> Mode {
        self.namespaces.get(namespace).copied().unwrap_or(self.mesh)
    }

    /// The mode of a workload, and of those of its ports that have a setting.
    pub fn of_workload(&self, namespace: &str, labels: &Labels) -> (Mode, BTreeMap<u16, Mode>) {
        let above = self.of_namespace(namespace);
        let policies = self.workloads.get(namespace).into_iter().flatten();
        let Some(own) = policies
            .into_iter()
            .find(|own| selects(&own.selector, labels))
        else {
            return (above, BTreeMap::new());
        };
        let workload = own.mode.unwrap_or(above);
        let ports = own.ports.iter();
        let ports = ports.map(|(port, mode)| (*port, mode.unwrap_or(workload)));
        (workload, ports.collect())
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
    let mesh = root
        .and_then(|policy| of(&policy.spec))
        .unwrap_or(Mode::Permissive);
    let mut policies: Vec<_> = snapshot.peer_authentications.values().collect();
    policies.sort_by_key(|policy| policy.meta.age());
    let mut modes = PeerModes {
        mesh,
        namespaces: BTreeMap::new(),
        workloads: BTreeMap::new(),
    };
    for policy in policies {
        let namespace = policy.meta.namespace().to_owned();
        if is_wide(&policy.spec) {
            modes
                .namespaces
                .entry(namespace)
                .or_insert_with(|| of(&policy.spec).unwrap_or(mesh));
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
                selector: policy.spec.selector.clone().unwrap_or_default().labels,
                mode: of(&policy.spec),
                ports: ports.collect(),
            });
    }
    modes
}

#[cfg(test)]
mod tests;
