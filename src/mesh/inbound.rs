//! The inbound view of a workload: the ports that it serves, for which services, in which mode.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::snapshot::selects;

use crate::services::Target;
use crate::traffic_policy;
use crate::{Mesh, Mode, Port, Proxy, Registry, Rule, Service};

/// What a workload serves; equal for all its replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct Inbound {
    /// One entry per port of the workload, in the order of their numbers.
    pub ports: Vec<InboundPort>,
    /// Mode of all other ports.
    pub mode: Mode,
    /// Modes of ports that differ.
    pub port_modes: BTreeMap<u16, Mode>,
}

/// A port of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundPort {
    /// The number that the workload listens on.
    pub target: u16,
    /// The service that decides the protocol: the oldest.
    pub service: Arc<Service>,
    /// Its port.
    pub port: Port,
    /// All services that lead here, by host.
    pub services: Vec<Arc<Service>>,
    /// Its mode.
    pub mode: Mode,
    /// The DestinationRule whose limits hold here too.
    pub rule: Option<Arc<Rule>>,
}

pub(crate) fn of(mesh: &Mesh, proxy: &Proxy) -> Inbound {
    let (mode, port_modes) = mesh.modes.of_workload(&proxy.namespace, &proxy.labels);
    let mut ports: BTreeMap<u16, InboundPort> = BTreeMap::new();
    for service in &mesh.services {
        let selector = service.selector.as_ref();
        if service.id.namespace != proxy.namespace
            || !selector.is_some_and(|selector| selects(selector, &proxy.labels))
        {
            continue;
        }
        for port in &service.ports {
            let target = match &port.target {
                Target::Number(number) => Some(*number),
                Target::Name(name) => proxy
                    .ports
                    .iter()
                    .find(|(known, _)| known == name)
                    .map(|(_, number)| *number),
            };
            let Some(target) = target else { continue };
            let entry = ports.entry(target).or_insert_with(|| InboundPort {
                target,
                service: service.clone(),
                port: port.clone(),
                services: Vec::new(),
                rule: traffic_policy::of_service(
                    &mesh.rules,
                    service,
                    &proxy.namespace,
                    &proxy.labels,
                    &mesh.config.root_namespace,
                ),
                mode: port_modes.get(&target).copied().unwrap_or(mode),
            });
            entry.services.push(service.clone());
        }
    }
    for port in ports.values_mut() {
        port.services.sort_by(|a, b| a.id.host.cmp(&b.id.host));
        port.services.dedup_by(|a, b| a.id == b.id);
    }
    let mut ports: Vec<InboundPort> = ports.into_values().collect();
    // A ServiceEntry's own workloads listen too, but Kubernetes decides where both speak.
    for port in &mut ports {
        let kubernetes = port
            .services
            .iter()
            .find(|service| service.registry == Registry::Kubernetes);
        if port.service.registry == Registry::External
            && let Some(service) = kubernetes
            && let Some(own) = service
                .ports
                .iter()
                .find(|own| own.target == Target::Number(port.target))
        {
            port.port = own.clone();
            port.service = service.clone();
        }
    }
    Inbound {
        ports,
        mode,
        port_modes,
    }
}
