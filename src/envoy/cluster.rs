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
mod usual;

use std::sync::{Arc, LazyLock};

use base::ObjectRef;
use bytes::Bytes;
use mesh::{Flavour, OutboundService, Scope};
use proto::envoy::config::cluster::v3 as wire;
use proto::pack::Put;
use proto::writer::Writer;

use crate::EndpointView;
use crate::parts::number;

pub(crate) use usual::Usual;

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A cluster with what it came from.
pub(crate) struct Made {
    pub(crate) name: String,
    /// All of it.
    pub(crate) encoded: Writer,
    pub(crate) origin: Vec<Arc<ObjectRef>>,
    /// For clusters whose endpoints come over EDS.
    pub(crate) endpoints: Option<EndpointView>,
}

impl Made {
    fn of(cluster: wire::Cluster, origin: Vec<Arc<ObjectRef>>) -> Self {
        let mut encoded = Writer::default();
        cluster.put(&mut encoded);
        Made {
            name: cluster.name,
            encoded,
            origin,
            endpoints: None,
        }
    }
}

/// Clusters for calls of a service. See only the part of the scope that `narrow` leaves for them.
pub(crate) fn of_service(usual: &Usual<'_>, called: &OutboundService) -> Vec<Made> {
    let mut made = Vec::new();
    for port in called.service.called() {
        match usual.of_port(called, port) {
            Some(one) => made.push(one),
            None => made.extend(outbound::of_port(usual.scope, called, port)),
        }
    }
    made
}

/// Clusters that are no service's: for unknown destinations, and for the ports of the workload.
pub(crate) fn own(scope: &Scope) -> Vec<Made> {
    let mut made = inbound::all(scope);
    let others = catch_all::all(scope).into_iter();
    made.extend(others.map(|cluster| Made::of(cluster, Vec::new())));
    made
}

fn of_type(kind: wire::cluster::DiscoveryType) -> Option<wire::cluster::ClusterDiscoveryType> {
    Some(wire::cluster::ClusterDiscoveryType::Type(kind as i32))
}

/// [`greeting`] as an encoded field of a cluster.
fn put_greeting(scope: &Scope, into: &mut Writer) {
    static FIELD: LazyLock<Bytes> = LazyLock::new(|| {
        let cluster = wire::Cluster {
            filters: vec![exchange()],
            ..Default::default()
        };
        cluster.fields()
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
