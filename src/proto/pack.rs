//! Putting messages into an Any, or into others that are being written: one plain implementation per kind that
//! the mesh nests.

use bytes::Bytes;
use prost::{Message, Name};

use crate::envoy::extensions;
use crate::google::protobuf::Any;
use crate::writer::Writer;

/// A message that other messages carry in an Any.
pub trait Pack {
    /// The message with its type URL; equal messages give equal bytes.
    fn pack(&self) -> Any;

    /// Its type URL.
    fn type_url() -> String
    where
        Self: Sized;
}

/// A message that is written into another one as it is encoded.
pub trait Put {
    /// Writes the fields of the message.
    fn put(&self, into: &mut Writer);

    /// The fields alone.
    fn fields(&self) -> Bytes {
        let mut own = Writer::default();
        self.put(&mut own);
        own.finish()
    }
}

macro_rules! written {
    ($($message:ty),* $(,)?) => {$(
        impl Put for $message {
            fn put(&self, into: &mut Writer) {
                self.encode_raw(&mut into.0);
            }
        }
    )*};
}

written!(
    crate::envoy::config::route::v3::Route,
    crate::envoy::config::route::v3::RouteAction,
    crate::envoy::config::route::v3::RouteMatch,
    crate::envoy::config::route::v3::RouteConfiguration,
    crate::envoy::config::route::v3::VirtualHost,
    crate::envoy::config::cluster::v3::Cluster,
    crate::envoy::config::cluster::v3::cluster::EdsClusterConfig,
    crate::envoy::config::cluster::v3::cluster::TransportSocketMatch,
    crate::envoy::config::listener::v3::Listener,
    crate::envoy::config::listener::v3::FilterChain,
    crate::envoy::config::listener::v3::FilterChainMatch,
    crate::envoy::config::listener::v3::Filter,
    extensions::filters::network::http_connection_manager::v3::HttpConnectionManager,
    extensions::filters::network::http_connection_manager::v3::Rds,
    extensions::filters::network::tcp_proxy::v3::TcpProxy,
    crate::envoy::r#type::tracing::v3::CustomTag,
    crate::envoy::r#type::matcher::v3::MetadataMatcher,
    crate::envoy::config::rbac::v3::Permission,
    crate::envoy::config::rbac::v3::Principal,
    extensions::filters::network::http_connection_manager::v3::http_connection_manager::Tracing,
    extensions::transport_sockets::tls::v3::CommonTlsContext,
    extensions::transport_sockets::tls::v3::DownstreamTlsContext,
    extensions::transport_sockets::tls::v3::SdsSecretConfig,
);

macro_rules! packed {
    ($($message:ty),* $(,)?) => {$(
        impl Pack for $message {
            fn pack(&self) -> Any {
                Any {
                    type_url: <$message as Name>::type_url(),
                    value: self.encode_to_vec().into(),
                }
            }

            fn type_url() -> String {
                <$message as Name>::type_url()
            }
        }
    )*};
}

packed!(
    crate::contrib::AlpnConfig,
    crate::contrib::NameTable,
    crate::contrib::StatsConfig,
    crate::contrib::TypedStruct,
    crate::envoy::admin::v3::BootstrapConfigDump,
    crate::envoy::admin::v3::ClustersConfigDump,
    crate::envoy::admin::v3::EcdsConfigDump,
    crate::envoy::admin::v3::EndpointsConfigDump,
    crate::envoy::admin::v3::ListenersConfigDump,
    crate::envoy::admin::v3::RoutesConfigDump,
    crate::envoy::admin::v3::ScopedRoutesConfigDump,
    crate::envoy::admin::v3::SecretsConfigDump,
    crate::envoy::service::status::v3::ClientConfig,
    extensions::access_loggers::file::v3::FileAccessLog,
    extensions::clusters::dynamic_forward_proxy::v3::ClusterConfig,
    extensions::filters::http::dynamic_forward_proxy::v3::FilterConfig,
    extensions::filters::http::stateful_session::v3::StatefulSession,
    extensions::filters::http::stateful_session::v3::StatefulSessionPerRoute,
    extensions::filters::listener::proxy_protocol::v3::ProxyProtocol,
    extensions::filters::listener::original_src::v3::OriginalSrc,
    extensions::filters::network::sni_dynamic_forward_proxy::v3::FilterConfig,
    extensions::http::header_formatters::preserve_case::v3::PreserveCaseFormatterConfig,
    extensions::http::stateful_session::cookie::v3::CookieBasedSessionState,
    extensions::http::stateful_session::header::v3::HeaderBasedSessionState,
    extensions::filters::http::rbac::v3::Rbac,
    extensions::filters::network::rbac::v3::Rbac,
    extensions::filters::http::jwt_authn::v3::JwtAuthentication,
    extensions::filters::http::ext_authz::v3::ExtAuthz,
    extensions::filters::network::ext_authz::v3::ExtAuthz,
    extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig,
    extensions::access_loggers::grpc::v3::HttpGrpcAccessLogConfig,
    extensions::access_loggers::grpc::v3::TcpGrpcAccessLogConfig,
    extensions::access_loggers::open_telemetry::v3::OpenTelemetryAccessLogConfig,
    extensions::access_loggers::filters::cel::v3::ExpressionFilter,
    extensions::formatter::req_without_query::v3::ReqWithoutQuery,
    extensions::formatter::metadata::v3::Metadata,
    extensions::formatter::cel::v3::Cel,
    extensions::filters::http::cors::v3::Cors,
    extensions::filters::http::cors::v3::CorsPolicy,
    extensions::filters::http::fault::v3::HttpFault,
    extensions::filters::http::grpc_stats::v3::FilterConfig,
    extensions::filters::http::grpc_web::v3::GrpcWeb,
    extensions::filters::http::router::v3::Router,
    extensions::filters::listener::http_inspector::v3::HttpInspector,
    extensions::filters::listener::original_dst::v3::OriginalDst,
    extensions::filters::listener::tls_inspector::v3::TlsInspector,
    extensions::filters::network::http_connection_manager::v3::HttpConnectionManager,
    extensions::filters::network::mongo_proxy::v3::MongoProxy,
    extensions::filters::network::redis_proxy::v3::RedisProxy,
    extensions::filters::network::tcp_proxy::v3::TcpProxy,
    extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig,
    extensions::request_id::uuid::v3::UuidRequestIdConfig,
    extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig,
    extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate,
    extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport,
    extensions::transport_sockets::raw_buffer::v3::RawBuffer,
    extensions::transport_sockets::tls::v3::DownstreamTlsContext,
    extensions::transport_sockets::tls::v3::UpstreamTlsContext,
    extensions::upstreams::http::v3::HttpProtocolOptions,
    crate::google::protobuf::Struct,
    crate::envoy::config::trace::v3::DatadogConfig,
    crate::envoy::config::trace::v3::OpenTelemetryConfig,
    crate::envoy::config::trace::v3::SkyWalkingConfig,
    crate::envoy::config::trace::v3::ZipkinConfig,
    extensions::tracers::opentelemetry::resource_detectors::v3::DynatraceResourceDetectorConfig,
    extensions::tracers::opentelemetry::resource_detectors::v3::EnvironmentResourceDetectorConfig,
    extensions::tracers::opentelemetry::samplers::v3::DynatraceSamplerConfig,
);
