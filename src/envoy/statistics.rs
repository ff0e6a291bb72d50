//! Names in statistics: of clusters and of the connections to them, by the mesh's patterns.

use mesh::{InboundPort, Registry, Scope, Service};

/// What a pattern may name.
struct Facts<'a> {
    host: &'a str,
    /// Name and namespace of a Kubernetes Service.
    kubernetes: Option<(&'a str, &'a str)>,
    subset: &'a str,
    port: u16,
    port_name: &'a str,
    /// `None`: the pattern for it stays as it is.
    target: Option<u16>,
}

impl Facts<'_> {
    fn fill(&self, pattern: &str) -> String {
        let short = match self.kubernetes {
            Some((name, namespace)) => format!("{name}.{namespace}"),
            None => self.host.to_owned(),
        };
        let name = self.kubernetes.map_or(self.host, |(name, _)| name);
        let mut text = pattern
            .replace("%SERVICE%", &short)
            .replace("%SERVICE_NAME%", name)
            .replace("%SERVICE_FQDN%", self.host)
            .replace("%SUBSET_NAME%", self.subset);
        if let Some(target) = self.target {
            text = text.replace("%TARGET_PORT%", &target.to_string());
        }
        text.replace("%SERVICE_PORT%", &self.port.to_string())
            .replace("%SERVICE_PORT_NAME%", self.port_name)
    }
}

fn kubernetes(service: &Service) -> Option<(&str, &str)> {
    let own = service.registry == Registry::Kubernetes;
    own.then_some((service.name.as_str(), service.id.namespace.as_str()))
}

/// The name of calls of a port of a service, when the mesh has a pattern for it.
pub(crate) fn outbound(
    scope: &Scope,
    service: &Service,
    subset: &str,
    (port, port_name): (u16, &str),
) -> Option<String> {
    let pattern = scope.config.outbound_cluster_stat_name.as_str();
    let facts = Facts {
        host: &service.id.host,
        kubernetes: kubernetes(service),
        subset,
        port,
        port_name,
        target: Some(0),
    };
    (!pattern.is_empty()).then(|| facts.fill(pattern))
}

/// The name of the cluster behind a port of the workload, when the mesh has a pattern for it.
pub(crate) fn inbound(scope: &Scope, port: &InboundPort) -> Option<String> {
    let pattern = scope.config.inbound_cluster_stat_name.as_str();
    let service = port.service.as_deref();
    let facts = Facts {
        host: service.map_or_else(|| port.host(), |service| &service.id.host),
        kubernetes: service.and_then(kubernetes),
        subset: "",
        port: port.port.number,
        port_name: &port.port.name,
        target: Some(port.target),
    };
    (!pattern.is_empty()).then(|| facts.fill(pattern))
}

/// The name of connections to a port of the workload, or to one that no service has.
pub(crate) fn connections(scope: &Scope, port: Option<&InboundPort>) -> Option<String> {
    let pattern = scope.config.inbound_cluster_stat_name.as_str();
    let own = port.filter(|port| port.listener.is_none());
    let facts = Facts {
        host: port.map_or("", InboundPort::host),
        kubernetes: own
            .and_then(|port| port.service.as_deref())
            .and_then(kubernetes),
        subset: "",
        port: port.map_or(0, |port| port.port.number),
        port_name: port.map_or("virtualInbound", |port| &port.port.name),
        target: None,
    };
    (!pattern.is_empty()).then(|| facts.fill(pattern))
}
