//! Access logs over gRPC, to Envoy's access log service: of requests, of connections.

use api::mesh_config::{HttpLog, TcpLog};
use mesh::Destination;
use proto::envoy::config::core::v3 as core;
use proto::envoy::extensions::access_loggers::grpc::v3::{
    CommonGrpcAccessLogConfig, HttpGrpcAccessLogConfig, TcpGrpcAccessLogConfig,
};
use proto::google::protobuf::Any;
use proto::pack::Pack;

use super::Kind;
use crate::parts::grpc_service;

/// What is known of the peers.
const PEERS: [&str; 2] = ["upstream_peer", "downstream_peer"];
/// The same, with the names that older proxies give it.
pub(super) const PEERS_EVER: [&str; 6] = [
    "upstream_peer",
    "downstream_peer",
    "wasm.upstream_peer",
    "wasm.upstream_peer_id",
    "wasm.downstream_peer",
    "wasm.downstream_peer_id",
];
/// The cluster of Envoy's own access log service, which the bootstrap has.
const OF_MESH: &str = "envoy_accesslog_service";

/// What all logs over gRPC say.
pub(super) fn common(
    name: &str,
    service: core::GrpcService,
    state: Vec<String>,
) -> CommonGrpcAccessLogConfig {
    CommonGrpcAccessLogConfig {
        log_name: name.to_owned(),
        grpc_service: Some(service),
        transport_api_version: core::ApiVersion::V3 as i32,
        filter_state_objects_to_log: state,
        ..Default::default()
    }
}

pub(super) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn named<'a>(own: &'a str, usual: &'a str) -> &'a str {
    if own.is_empty() { usual } else { own }
}

fn state(own: &[String]) -> Vec<String> {
    match own {
        [] => owned(&PEERS),
        own => own.to_vec(),
    }
}

/// Requests, to a provider.
pub(super) fn http(log: &HttpLog, at: &Destination) -> Any {
    HttpGrpcAccessLogConfig {
        common_config: Some(common(
            named(&log.log_name, "http_envoy_accesslog"),
            grpc_service(at),
            state(&log.filter_state_objects_to_log),
        )),
        additional_request_headers_to_log: log.additional_request_headers_to_log.clone(),
        additional_response_headers_to_log: log.additional_response_headers_to_log.clone(),
        additional_response_trailers_to_log: log.additional_response_trailers_to_log.clone(),
    }
    .pack()
}

/// Connections, to a provider.
pub(super) fn tcp(log: &TcpLog, at: &Destination) -> Any {
    TcpGrpcAccessLogConfig {
        common_config: Some(common(
            named(&log.log_name, "tcp_envoy_accesslog"),
            grpc_service(at),
            state(&log.filter_state_objects_to_log),
        )),
    }
    .pack()
}

/// To the service that the mesh's own settings switch on.
pub(super) fn of_mesh(kind: Kind) -> Any {
    use core::grpc_service::{EnvoyGrpc, TargetSpecifier};
    let service = core::GrpcService {
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
            cluster_name: OF_MESH.to_owned(),
            ..Default::default()
        })),
        ..Default::default()
    };
    let name = match kind {
        Kind::Http => "http_envoy_accesslog",
        Kind::Tcp => "tcp_envoy_accesslog",
        Kind::Listener => "listener_envoy_accesslog",
    };
    let common_config = Some(common(name, service, owned(&PEERS_EVER)));
    match kind {
        Kind::Http => HttpGrpcAccessLogConfig {
            common_config,
            ..Default::default()
        }
        .pack(),
        Kind::Tcp | Kind::Listener => TcpGrpcAccessLogConfig { common_config }.pack(),
    }
}
