//! Istio's own filters, which only its proxy has: who the peer is, ALPN by request.

use std::sync::LazyLock;

use bytes::Bytes;
use proto::contrib::{AlpnConfig, AlpnOverride, AlpnProtocol, TypedStruct};
use proto::google::protobuf::{Any, ListValue, Struct, Value, value::Kind};
use proto::pack::Pack;

use super::order;
use crate::listener::filter_chain::Side;
use crate::metadata::{fields, text, yes};

/// The filter that exchanges metadata, of requests and of connections.
pub(crate) const NAME: &str = "istio.metadata_exchange";

/// Exchange of metadata by headers of requests, with a look at the workloads that are known, as a connection manager
/// has it; `within_mesh`: hosts outside of it get no headers.
pub(crate) fn http(side: Side, within_mesh: bool) -> &'static [u8] {
    // Nothing else decides, and a tree of values costs more than all other filters together.
    static KINDS: LazyLock<[Bytes; 4]> = LazyLock::new(|| {
        [
            exchange("downstream", false),
            exchange("downstream", true),
            exchange("upstream", false),
            exchange("upstream", true),
        ]
        .map(|config| order::encoded(vec![order::filter(NAME, config)]))
    });
    let upstream = side != Side::Inbound;
    &KINDS[2 * usize::from(upstream) + usize::from(within_mesh)]
}

fn exchange(direction: &str, within_mesh: bool) -> Any {
    let way = |name: &str| object(fields([(name, object(fields([])))]));
    let discovery = list(vec![way("istio_headers"), way("workload_discovery")]);
    let limits = if within_mesh {
        fields([("skip_external_clusters", yes())])
    } else {
        fields([])
    };
    let propagation = list(vec![object(fields([("istio_headers", object(limits))]))]);
    typed(
        "io.istio.http.peer_metadata.Config",
        fields([
            (&format!("{direction}_discovery"), discovery),
            (&format!("{direction}_propagation"), propagation),
        ]),
    )
}

/// The same at the beginning of connections.
pub(crate) fn tcp() -> Any {
    static CONFIG: LazyLock<Any> = LazyLock::new(|| {
        typed(
            "envoy.tcp.metadataexchange.config.MetadataExchange",
            fields([
                ("enable_discovery", yes()),
                ("protocol", text("istio-peer-exchange")),
            ]),
        )
    });
    CONFIG.clone()
}

/// ALPN by the protocol of the request, so that the other side knows it before it reads.
pub(super) fn alpn() -> Any {
    let one = |protocol: AlpnProtocol, names: [&str; 3]| AlpnOverride {
        upstream_protocol: protocol as i32,
        alpn_override: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    AlpnConfig {
        alpn_override: vec![
            one(
                AlpnProtocol::Http10,
                ["istio-http/1.0", "istio", "http/1.0"],
            ),
            one(
                AlpnProtocol::Http11,
                ["istio-http/1.1", "istio", "http/1.1"],
            ),
            one(AlpnProtocol::Http2, ["istio-h2", "istio", "h2"]),
        ],
    }
    .pack()
}

fn typed(name: &str, value: Struct) -> Any {
    TypedStruct {
        type_url: format!("type.googleapis.com/{name}"),
        value: Some(value),
    }
    .pack()
}

fn object(fields: Struct) -> Value {
    Value {
        kind: Some(Kind::StructValue(fields)),
    }
}

fn list(values: Vec<Value>) -> Value {
    Value {
        kind: Some(Kind::ListValue(ListValue { values })),
    }
}
