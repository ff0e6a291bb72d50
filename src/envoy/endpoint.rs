//! Endpoints of a cluster. They do not pass through the mesh: a view that comes with the cluster,
//! and the table of its host, give the assignment.

mod locality;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::networking::destination_rule::LocalityLb;
use api::snapshot::{Address, Endpoint, Health, HostEndpoints, HostId, Labels, Locality, selects};
use mesh::{Mode, PeerModes};
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::endpoint::v3 as wire;
use proto::google::protobuf::Struct;

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
    /// Labels of the subset.
    pub subset: Labels,
    /// Cluster of the proxy: endpoints say which they are in.
    pub cluster_id: String,
    /// Whether mTLS is used where the endpoint can.
    pub mutual_tls: bool,
    /// Which workloads do not want it.
    pub modes: Arc<PeerModes>,
    /// Whether endpoints that are not ready are sent, for when no others are left.
    pub unhealthy: bool,
    /// How distance counts.
    pub distance: Distance,
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
        /// Labels of the proxy.
        labels: Labels,
    },
    /// The service's own wish: `PreferClose` and the like.
    Preferred {
        /// From the node on, or only from the zone on.
        node: bool,
        /// Where the proxy stands.
        locality: Locality,
        /// Its node.
        on: String,
        /// Its network.
        network: String,
    },
}

/// The endpoints of a cluster.
pub fn assign(view: &EndpointView, endpoints: &HostEndpoints) -> wire::ClusterLoadAssignment {
    let mut localities: BTreeMap<&Locality, Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in &endpoints.endpoints {
        let wanted = endpoint.ports.contains_key(&view.port)
            && selects(&view.subset, &endpoint.labels)
            && (endpoint.health != Health::Unhealthy || view.unhealthy);
        if wanted {
            localities
                .entry(&endpoint.locality)
                .or_default()
                .push(endpoint);
        }
    }
    let groups = locality::arrange(&view.distance, localities);
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
                    load_balancing_weight: number(weight),
                    priority: group.priority,
                    ..Default::default()
                }
            })
            .collect(),
        ..Default::default()
    }
}

fn of(view: &EndpointView, endpoint: &Endpoint) -> wire::LbEndpoint {
    let port = endpoint.ports.get(&view.port).copied().unwrap_or_default();
    let address = match &endpoint.address {
        Address::Unix(path) => core::Address {
            address: Some(core::address::Address::Pipe(core::Pipe {
                path: path.clone(),
                ..Default::default()
            })),
        },
        other => socket(&other.to_string(), port),
    };
    let mut parts = metadata([("istio", workload(view, endpoint))]);
    let wanted = || {
        let Endpoint {
            namespace, labels, ..
        } = endpoint;
        view.modes.of(namespace, labels, port) != Mode::Disable
    };
    if view.mutual_tls && endpoint.mutual_tls && wanted() {
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
                ..Default::default()
            },
        )),
        health_status: health as i32,
        load_balancing_weight: number(endpoint.weight.max(1)),
        metadata: Some(parts),
    }
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
    let cluster = &view.cluster_id;
    fields([(
        "workload",
        text(format!(
            "{workload};{namespace};{name};{revision};{cluster}"
        )),
    )])
}
