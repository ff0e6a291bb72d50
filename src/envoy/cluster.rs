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

use std::sync::{Arc, LazyLock};

use base::ObjectRef;
use bytes::Bytes;
use mesh::{Flavour, OutboundService, Scope};
use proto::codec;
use proto::envoy::config::cluster::v3 as wire;
use proto::writer::Writer;

use crate::EndpointView;
use crate::parts::number;

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A cluster with what it came from.
pub(crate) struct Made {
    pub(crate) cluster: wire::Cluster,
    /// Fields of it that are written rather than built.
    pub(crate) written: Writer,
    pub(crate) origin: Vec<Arc<ObjectRef>>,
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
        written: Writer::default(),
        origin: Vec::new(),
        endpoints: None,
    }));
    made
}

fn of_type(kind: wire::cluster::DiscoveryType) -> Option<wire::cluster::ClusterDiscoveryType> {
    Some(wire::cluster::ClusterDiscoveryType::Type(kind as i32))
}

impl Made {
    /// The encoded cluster.
    pub(crate) fn encoded(&self) -> Bytes {
        let cluster = codec::encode_cluster(&self.cluster);
        match self.written.bytes() {
            [] => cluster,
            written => [&cluster[..], written].concat().into(),
        }
    }
}

/// [`greeting`] as an encoded field of a cluster.
fn put_greeting(scope: &Scope, into: &mut Writer) {
    static FIELD: LazyLock<Bytes> = LazyLock::new(|| {
        codec::encode_cluster(&wire::Cluster {
            filters: vec![exchange()],
            ..Default::default()
        })
    });
    if scope.flavour == Flavour::IstioProxy {
        into.raw(&FIELD);
    }
}

/// Exchange of metadata at the beginning of connections.
fn greeting(scope: &Scope) -> Vec<wire::Filter> {
    if scope.flavour != Flavour::IstioProxy {
        return Vec::new();
    }
    vec![exchange()]
}

fn exchange() -> wire::Filter {
    wire::Filter {
        name: "istio.metadata_exchange".to_owned(),
        typed_config: Some(crate::filter::peer::tcp()),
        ..Default::default()
    }
}

/// Retries and requests at a time, when limited.
pub(crate) fn limit(value: i32) -> Option<proto::google::protobuf::UInt32Value> {
    u32::try_from(value)
        .ok()
        .filter(|value| *value > 0)
        .and_then(number)
}
