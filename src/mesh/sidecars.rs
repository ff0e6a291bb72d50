//! Sidecars: the one that applies to a workload, and which hosts it lets the workload reach.
//! Egress listeners with a port of their own count for their hosts only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::networking::sidecar::{OutboundMode, Sidecar};
use api::networking::virtual_service::Destination;
use api::snapshot::{Object, selects};

use crate::names::{covers, resolve, subset_of};
use crate::{Mesh, Proxy, Routing, Service};

/// What a workload may reach.
#[derive(Clone, Debug)]
pub(crate) struct Egress {
    /// Namespace and host of each entry; absent means any namespace.
    hosts: Vec<(Option<String>, String)>,
    /// What happens with unknown destinations, when the Sidecar says it.
    pub(crate) policy: Option<OutboundMode>,
}

/// The Sidecar of a workload: one that selects it, else that of its namespace, else of the mesh.
pub(crate) fn of(mesh: &Mesh, proxy: &Proxy) -> Option<Egress> {
    let found: &Arc<Object<Sidecar>> = oldest(mesh, proxy, &proxy.namespace, true)
        .or_else(|| oldest(mesh, proxy, &proxy.namespace, false))
        .or_else(|| oldest(mesh, proxy, &mesh.config.root_namespace, false))?;
    let entries = found
        .spec
        .egress
        .iter()
        .flat_map(|listener| listener.hosts.iter());
    let hosts = entries.filter_map(|entry| {
        let (namespace, host) = entry.split_once('/').unwrap_or(("*", entry));
        let namespace = match namespace {
            "~" => return None,
            "*" => None,
            "." => Some(proxy.namespace.clone()),
            name => Some(name.to_owned()),
        };
        let within = namespace.as_deref().unwrap_or(&proxy.namespace);
        let host = resolve(host, within, &mesh.domain);
        Some((namespace, host))
    });
    let mut hosts: Vec<(Option<String>, String)> = hosts.collect();
    if found.spec.egress.is_empty() {
        hosts.push((None, "*".to_owned()));
    }
    let policy = found.spec.outbound_traffic_policy.as_ref();
    Some(Egress {
        hosts,
        policy: policy.map(|policy| policy.mode.unwrap_or(OutboundMode::RegistryOnly)),
    })
}

/// The oldest Sidecar of a namespace among those that select the workload, or that select nothing.
fn oldest<'a>(
    mesh: &'a Mesh,
    proxy: &Proxy,
    namespace: &str,
    selecting: bool,
) -> Option<&'a Arc<Object<Sidecar>>> {
    let own = mesh.snapshot.sidecars.in_namespace(namespace);
    own.filter(|sidecar| match &sidecar.spec.workload_selector {
        Some(selector) if !selector.labels.is_empty() => {
            selecting && selects(&selector.labels, &proxy.labels)
        }
        _ => !selecting,
    })
    .min_by_key(|sidecar| sidecar.meta.age())
}

impl Egress {
    /// Whether a service is reached by its own name.
    pub(crate) fn reaches(&self, service: &Service) -> bool {
        self.hosts.iter().any(|(namespace, host)| {
            namespace
                .as_ref()
                .is_none_or(|name| *name == service.id.namespace)
                && subset_of(&service.id.host, host)
        })
    }

    /// Whether a VirtualService is taken in.
    pub(crate) fn takes(&self, routing: &Routing) -> bool {
        self.hosts.iter().any(|(namespace, host)| {
            namespace
                .as_ref()
                .is_none_or(|name| *name == routing.namespace)
                && routing.spec.hosts.iter().any(|own| covers(own, host))
        })
    }
}

/// Ports of hosts that VirtualServices lead to; no port stands for all of them.
pub(crate) fn destinations<'a>(
    routings: impl Iterator<Item = &'a Routing>,
) -> BTreeMap<String, BTreeSet<u32>> {
    let mut found: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    let mut whole: BTreeSet<String> = BTreeSet::new();
    let mut add = |to: &Destination| {
        let ports = found.entry(to.host.clone()).or_default();
        match &to.port {
            Some(port) => drop(ports.insert(port.number)),
            None => drop(whole.insert(to.host.clone())),
        }
    };
    for routing in routings {
        for route in &routing.spec.http {
            route.route.iter().for_each(|to| add(&to.destination));
            route.mirror.iter().for_each(&mut add);
            route.mirrors.iter().for_each(|to| add(&to.destination));
        }
        let tls = routing.spec.tls.iter().flat_map(|route| route.route.iter());
        let tcp = routing.spec.tcp.iter().flat_map(|route| route.route.iter());
        tls.chain(tcp).for_each(|to| add(&to.destination));
    }
    for host in whole {
        found.insert(host, BTreeSet::new());
    }
    found
}
