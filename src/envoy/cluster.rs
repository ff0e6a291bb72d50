//! Clusters: one per visible port and subset, one per port of the workload, and those for traffic
//! to unknown destinations.

mod catch_all;
mod connection_pool;
mod distance;
mod inbound;
mod load_balancer;
mod outbound;
mod outlier_detection;
pub(crate) mod tls;

use base::ObjectRef;
use mesh::{Flavour, OutboundService, Scope};
use proto::envoy::config::cluster::v3 as wire;

use crate::EndpointView;
use crate::parts::number;

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A cluster with what it came from.
pub(crate) struct Made {
    pub(crate) cluster: wire::Cluster,
    pub(crate) origin: Vec<ObjectRef>,
    /// For clusters whose endpoints come over EDS.
    pub(crate) endpoints: Option<EndpointView>,
}

/// Clusters for calls of a service. See only the part of the scope that `narrow` leaves for them.
pub(crate) fn of_service(scope: &Scope, called: &OutboundService) -> Vec<Made> {
    let ports = called.service.called();
    ports
        .flat_map(|port| outbound::of_port(scope, called, port))
        .collect()
}

/// Clusters that are no service's: for unknown destinations, and for the ports of the workload.
pub(crate) fn own(scope: &Scope) -> Vec<Made> {
    let mut made = inbound::all(scope);
    made.extend(catch_all::all(scope).into_iter().map(|cluster| Made {
        cluster,
        origin: Vec::new(),
        endpoints: None,
    }));
    made
}

fn of_type(kind: wire::cluster::DiscoveryType) -> Option<wire::cluster::ClusterDiscoveryType> {
    Some(wire::cluster::ClusterDiscoveryType::Type(kind as i32))
}

/// Exchange of metadata at the beginning of connections.
fn greeting(scope: &Scope) -> Vec<wire::Filter> {
    if scope.flavour != Flavour::IstioProxy {
        return Vec::new();
    }
    vec![wire::Filter {
        name: "istio.metadata_exchange".to_owned(),
        typed_config: Some(crate::filter::peer::tcp()),
        ..Default::default()
    }]
}

/// Retries and requests at a time, when limited.
pub(crate) fn limit(value: i32) -> Option<proto::google::protobuf::UInt32Value> {
    u32::try_from(value)
        .ok()
        .filter(|value| *value > 0)
        .and_then(number)
}
