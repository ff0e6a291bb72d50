//! Endpoints of a cluster. They do not pass through the mesh: a view that comes with the cluster,
//! and the table of its host, give the assignment.

pub(crate) mod locality;
mod reach;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::networking::destination_rule::{Failover, LocalityLb};
use api::snapshot::{Address, Endpoint, Health, HostEndpoints, HostId, Labels, Locality};
use mesh::{Mode, PeerModes};
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::endpoint::v3 as wire;
use proto::google::protobuf::Struct;

pub use reach::Reach;

use crate::metadata::{fields, metadata, text};
use crate::parts::{number, socket};

/// How the endpoints of one cluster are chosen from those of its host.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointView {
    /// Name of the cluster.
    pub cluster: String,
    /// The host.
    pub host: HostId,
    /// Name of the port.
    pub port: String,
    /// Its number.
    pub number: u16,
    /// Labels of the subset.
    pub subset: Labels,
    /// Whether mTLS is used; `None`: where the endpoint can.
    pub mutual_tls: Option<bool>,
    /// Whether only endpoints that accept mTLS count.
    pub mutual_only: bool,
    /// Which workloads do not want it.
    pub modes: Arc<PeerModes>,
    /// Whether endpoints that are not ready are sent, for when no others are left.
    pub unhealthy: bool,
    /// How distance counts.
    pub distance: Distance,
    /// Which endpoints the proxy can reach, and by which way.
    pub reach: Arc<Reach>,
}

/// How distance counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Distance {
    /// Not at all.
    Ignored,
    /// Nearer localities first, as the settings say.
    Settings {
        /// The settings.
        settings: LocalityLb,
        /// Where the proxy stands.
        locality: Locality,
        /// Labels of the proxy, with where it stands, when their equality counts.
        labels: Labels,
    },
    /// Zones balanced by Envoy, the own region first.
    Zones {
        /// Where traffic goes when a region fails.
        failover: Vec<Failover>,
        /// Labels whose equality with the caller orders endpoints.
        failover_priority: Vec<String>,
        /// The region of the proxy.
        region: String,
        /// Labels of the proxy, with where it stands.
        labels: Labels,
    },
}

/// The endpoints of a cluster.
pub fn assign(view: &EndpointView, endpoints: &HostEndpoints) -> wire::ClusterLoadAssignment {
    let known = endpoints.endpoints.iter().filter(|endpoint| {
        endpoint.port(&view.port, view.number).is_some()
            && view.reach.selects(&view.subset, endpoint)
            && (endpoint.health != Health::Unhealthy || view.unhealthy)
            && view.reach.includes(endpoint)
    });
    // A place whose endpoints are all out of reach stays, without any.
    let mut localities: BTreeMap<&Locality, Vec<&Endpoint>> = known
        .clone()
        .map(|endpoint| (&endpoint.locality, Vec::new()))
        .collect();
    let reached = reach::reached(view, known);
    for endpoint in &reached {
        if !view.mutual_only || uses_mutual_tls(view, endpoint) {
            localities
                .entry(&endpoint.locality)
                .or_default()
                .push(endpoint);
        }
    }
    let groups = locality::arrange(view, localities);
    wire::ClusterLoadAssignment {
        cluster_name: view.cluster.clone(),
        endpoints: groups
            .into_iter()
            .map(|group| {
                let endpoints: Vec<wire::LbEndpoint> = group
                    .endpoints
                    .iter()
                    .map(|endpoint| of(view, endpoint))
                    .collect();
                let sum = endpoints
                    .iter()
                    .filter_map(|e| e.load_balancing_weight)
                    .map(|w| w.value);
                let weight = group.weight.unwrap_or_else(|| sum.sum());
                wire::LocalityLbEndpoints {
                    locality: Some(core::Locality {
                        region: group.locality.region.clone(),
                        zone: group.locality.zone.clone(),
                        sub_zone: group.locality.sub_zone.clone(),
                    }),
                    lb_endpoints: endpoints,
                    load_balancing_weight: if group.endpoints.is_empty() && group.weight.is_none() {
                        None
                    } else {
                        number(weight)
                    },
                    priority: group.priority,
                    ..Default::default()
                }
            })
            .collect(),
        ..Default::default()
    }
}

fn of(view: &EndpointView, endpoint: &Endpoint) -> wire::LbEndpoint {
    let port = endpoint.port(&view.port, view.number).unwrap_or_default();
    let address = match &endpoint.address {
        Address::Unix(path) => core::Address {
            address: Some(core::address::Address::Pipe(core::Pipe {
                path: path.clone(),
                ..Default::default()
            })),
        },
        other => socket(&other.to_string(), port),
    };
    let more = view.reach.dual_stack.then_some(&endpoint.more);
    let more = more.into_iter().flatten();
    let mut parts = metadata([("istio", workload(view, endpoint))]);
    if uses_mutual_tls(view, endpoint) {
        let matched = fields([("tlsMode", text("istio"))]);
        let key = "envoy.transport_socket_match".to_owned();
        parts.filter_metadata.insert(key, matched);
    }
    let health = match endpoint.health {
        Health::Unknown => core::HealthStatus::Unknown,
        Health::Healthy => core::HealthStatus::Healthy,
        Health::Unhealthy => core::HealthStatus::Unhealthy,
        Health::Draining => core::HealthStatus::Draining,
    };
    wire::LbEndpoint {
        host_identifier: Some(wire::lb_endpoint::HostIdentifier::Endpoint(
            wire::Endpoint {
                address: Some(address),
                additional_addresses: more
                    .map(|ip| wire::endpoint::AdditionalAddress {
                        address: Some(socket(&ip.to_string(), port)),
                    })
                    .collect(),
                ..Default::default()
            },
        )),
        health_status: health as i32,
        load_balancing_weight: number(endpoint.weight.max(1)),
        metadata: Some(parts),
    }
}

/// Whether an endpoint is called by mTLS: it has to accept it, and the rule decides, or else the
/// policy of its workload.
fn uses_mutual_tls(view: &EndpointView, endpoint: &Endpoint) -> bool {
    let port = endpoint.port(&view.port, view.number).unwrap_or_default();
    let (namespace, labels) = (&endpoint.namespace, &endpoint.labels);
    let wanted = || view.modes.of(namespace, labels, port) != Mode::Disable;
    endpoint.is_gateway() || endpoint.mutual_tls && view.mutual_tls.unwrap_or_else(wanted)
}

/// `workload;namespace;canonical name;canonical revision;cluster`.
fn workload(view: &EndpointView, endpoint: &Endpoint) -> Struct {
    let label = |names: &[&str]| names.iter().find_map(|name| endpoint.labels.get(*name));
    let name = label(&[
        "service.istio.io/canonical-name",
        "app.kubernetes.io/name",
        "app",
    ]);
    let name = name.map_or(endpoint.workload.as_str(), String::as_str);
    let revision = label(&[
        "service.istio.io/canonical-revision",
        "app.kubernetes.io/version",
        "version",
    ]);
    let revision = match revision.map_or("latest", String::as_str) {
        "latest" => "",
        other => other,
    };
    let Endpoint {
        workload,
        namespace,
        ..
    } = endpoint;
    let cluster = if endpoint.is_gateway() {
        label(&[reach::CLUSTER]).map_or("", String::as_str)
    } else {
        &view.reach.cluster
    };
    fields([(
        "workload",
        text(format!(
            "{workload};{namespace};{name};{revision};{cluster}"
        )),
    )])
}
