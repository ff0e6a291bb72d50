//! The clusters behind the ports of the workload.

use std::sync::Arc;

use api::mesh_config::InboundMode;
use api::networking::destination_rule::TrafficPolicy;
use base::ObjectRef;
use mesh::{Backend, InboundPort, Role, Scope};
use proto::envoy::config::cluster::v3 as wire;
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::endpoint::v3 as endpoint;
use proto::google::protobuf::Duration;

use super::connection_pool::{self, Options};
use super::{Made, catch_all, of_type};
use crate::listener::{address, loopbacks};
use crate::{metadata, names, statistics};

pub(super) fn all(scope: &Scope) -> Vec<Made> {
    if scope.role != Role::Sidecar {
        return Vec::new();
    }
    let ports = scope.inbound.ports.iter();
    ports.filter_map(|port| one(scope, port)).collect()
}

/// The cluster behind a port of the workload; none when nobody can tell what stands behind it.
fn one(scope: &Scope, port: &InboundPort) -> Option<Made> {
    let to = destination(scope, port)?;
    let name = names::inbound(port.target);
    let services = port.services.iter().map(AsRef::as_ref);
    let rule = port.rule.as_deref();
    let policy = rule.filter(|rule| rule.policy.is_some());
    let default = scope.config.default_traffic_policy.as_ref();
    let settings = match policy {
        Some(rule) => rule.settings(None, port.port.number, default),
        None => mesh::over_mesh(TrafficPolicy::default(), default),
    };
    let pool = port.pool.clone().or(settings.connection_pool);
    let pool = pool.unwrap_or_default();
    // Of a host outside of the mesh nothing is told.
    let outside = port.services.first().is_some_and(|first| first.external);
    let told = services.clone().filter(|_| !outside);
    let mut fields = metadata::services(told);
    if outside {
        fields.clear();
    }
    if let Some(rule) = policy {
        let path = names::config_path(&rule.origin[0]);
        fields.insert("config".to_owned(), metadata::text(path));
    }
    // A Sidecar's port that is no service's says nothing of services.
    let described = !(port.services.is_empty() || outside) || policy.is_some();
    let mut options = Options::of(scope, port.port.protocol);
    let mut cluster = wire::Cluster {
        alt_stat_name: match statistics::inbound(scope, port) {
            Some(own) => format!("{own};"),
            None => format!("{name};"),
        },
        common_lb_config: Some(wire::cluster::CommonLbConfig::default()),
        metadata: described.then(|| metadata::istio(fields)),
        ..Default::default()
    };
    let budget = settings.retry_budget.as_ref();
    connection_pool::apply(scope, &mut cluster, &mut options, &pool, budget);
    cluster.typed_extension_protocol_options = options.packed().into_iter().collect();
    let bound = match &to {
        To::Called => {
            cluster.cluster_discovery_type = of_type(wire::cluster::DiscoveryType::OriginalDst);
            cluster.lb_policy = wire::cluster::LbPolicy::ClusterProvided as i32;
            // Never: the one address behind it is this workload's.
            cluster.cleanup_interval = Some(Duration {
                seconds: 9_223_372_035,
                nanos: 0,
            });
            true
        }
        To::Address(bind, number) => {
            cluster.cluster_discovery_type = of_type(wire::cluster::DiscoveryType::Static);
            cluster.load_assignment = Some(assignment(&name, address(bind, *number)));
            bind != "127.0.0.1" && bind != "::1"
        }
    };
    if bound {
        let both = scope.features.dual_stack && scope.families.v4 && scope.families.v6;
        cluster.upstream_bind_config = Some(catch_all::source(scope, both));
    }
    let mut origin: Vec<Arc<ObjectRef>> = services.map(|service| service.origin.clone()).collect();
    origin.extend(port.listener.iter().map(|own| own.origin.clone()));
    origin.extend(port.pool_origin.clone());
    origin.extend(policy.iter().flat_map(|rule| rule.origin.iter().cloned()));
    Some(Made::of(wire::Cluster { name, ..cluster }, origin))
}

/// Where traffic goes.
enum To {
    /// To the address that was called.
    Called,
    /// To this address and port; port 0 stands for a unix socket.
    Address(String, u16),
}

fn destination(scope: &Scope, port: &InboundPort) -> Option<To> {
    let loopbacks = loopbacks(scope);
    let loopback = |v6: bool| {
        let preferred = loopbacks.iter().find(|address| address.contains(':') == v6);
        preferred.unwrap_or(&loopbacks[0]).clone()
    };
    Some(match port.listener.as_ref().map(|own| &own.to) {
        None => match scope.config.inbound_traffic_policy.mode {
            InboundMode::Passthrough => To::Called,
            InboundMode::Localhost => To::Address(loopbacks[0].clone(), port.target),
        },
        Some(Backend::Called) => To::Called,
        Some(Backend::Nowhere) => return None,
        Some(Backend::Unix(path)) => To::Address(path.clone(), 0),
        Some(Backend::Loopback { v6, port }) => To::Address(loopback(*v6), *port),
        Some(Backend::Own { address, port }) => To::Address(address.to_string(), *port),
    })
}

fn assignment(name: &str, address: core::Address) -> endpoint::ClusterLoadAssignment {
    let only = endpoint::LbEndpoint {
        host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(
            endpoint::Endpoint {
                address: Some(address),
                ..Default::default()
            },
        )),
        ..Default::default()
    };
    endpoint::ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: vec![endpoint::LocalityLbEndpoints {
            lb_endpoints: vec![only],
            ..Default::default()
        }],
        ..Default::default()
    }
}
