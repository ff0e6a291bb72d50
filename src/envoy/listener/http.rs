//! HTTP connection managers: how HTTP is spoken on a listener, which headers tell who is asking,
//! which filters every request passes.

use std::cell::RefCell;
use std::sync::LazyLock;

use api::networking::sidecar::OutboundMode;
use api::proxy_config::{ConnectionSettings, ForwardClientCert, ProxyHeaders, Switch};
use bytes::Bytes;
use mesh::{Protocol, Scope};
use proto::codec::any;
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::listener::v3::Filter;
use proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use proto::envoy::extensions::http::header_formatters::preserve_case::v3::PreserveCaseFormatterConfig;
use proto::pack::{Pack, Put};
use proto::writer::Writer;

use hcm::http_connection_manager as parts;

use super::filter_chain::{self, Routes, Side, Statistics, of};
use crate::filter::order;
use crate::parts::{ads, flag, number, range, seconds, span};
use crate::{access_log, tracing};

/// What a connection manager is for.
pub(crate) struct Wanted<'w, 'g> {
    pub(crate) side: Side,
    /// Prefix of its statistics.
    pub(crate) statistics: Statistics<'w>,
    pub(crate) protocol: Protocol,
    pub(crate) routes: Routes,
    /// Wildcard host whose names are resolved on the way.
    pub(crate) dynamic: Option<&'w str>,
    /// HTTP/1, where it is not as everywhere.
    pub(crate) http1: Option<core::Http1ProtocolOptions>,
    /// Filters that decide about requests, as a connection manager has them.
    pub(crate) guards: &'g [u8],
}

/// Connection managers of one scope: what several have in common is made and encoded once.
pub(crate) struct Managers<'a> {
    pub(crate) scope: &'a Scope,
    known: RefCell<Vec<(Kind<'a>, Bytes)>>,
}

/// All that a connection manager depends on beside the scope, its statistics and its routes.
struct Kind<'g> {
    side: Side,
    protocol: Protocol,
    dynamic: Option<String>,
    http1: Option<core::Http1ProtocolOptions>,
    guards: &'g [u8],
}

impl Kind<'_> {
    /// Whether it is what is wanted. Guards are told apart by where they stand: a scope has one list of them.
    fn is(&self, wanted: &Wanted<'_, '_>) -> bool {
        self.side == wanted.side
            && self.protocol == wanted.protocol
            && self.dynamic.as_deref() == wanted.dynamic
            && self.http1 == wanted.http1
            && (std::ptr::eq(self.guards, wanted.guards)
                || self.guards.is_empty() && wanted.guards.is_empty())
    }
}

const NAME: &str = "envoy.filters.network.http_connection_manager";
/// Field numbers of `HttpConnectionManager` and `Rds`.
const STATISTICS: u32 = 2;
const ROUTES_BY_NAME: u32 = 3;
const ROUTES: u32 = 4;
const ROUTES_NAME: u32 = 2;

impl<'a> Managers<'a> {
    pub(crate) fn new(scope: &'a Scope) -> Self {
        Managers {
            scope,
            known: RefCell::default(),
        }
    }

    /// The connection manager of one side.
    pub(crate) fn manager(&self, wanted: Wanted<'_, 'a>) -> Filter {
        let mut value = Writer::with_capacity(2048);
        self.put_value(wanted, &mut value);
        let type_url = hcm::HttpConnectionManager::type_url();
        of(NAME, any(&type_url, value.finish()))
    }

    /// Writes the connection manager of one side as a filter of a chain.
    pub(super) fn put(&self, wanted: Wanted<'_, 'a>, into: &mut Writer) {
        static TYPE: LazyLock<String> = LazyLock::new(hcm::HttpConnectionManager::type_url);
        filter_chain::put(NAME, &TYPE, into, |value| self.put_value(wanted, value));
    }

    fn put_value(&self, wanted: Wanted<'_, 'a>, into: &mut Writer) {
        static SOURCE: LazyLock<Bytes> = LazyLock::new(|| {
            let by_name = hcm::Rds {
                config_source: Some(ads()),
                ..Default::default()
            };
            by_name.fields()
        });
        match wanted.statistics {
            Statistics::Listener(name) => into.nested(STATISTICS, |text| {
                text.raw(name.as_bytes()).raw(b";");
            }),
            Statistics::Named(name) => into.text(STATISTICS, name),
        };
        match &wanted.routes {
            Routes::Named(name) => into.nested(ROUTES_BY_NAME, |routes| {
                routes.raw(&SOURCE).text(ROUTES_NAME, name);
            }),
            Routes::Inline(routes) => into.text(ROUTES, routes),
        };
        let mut known = self.known.borrow_mut();
        let place = known.iter().position(|(kind, _)| kind.is(&wanted));
        let place = place.unwrap_or_else(|| {
            let kind = Kind {
                side: wanted.side,
                protocol: wanted.protocol,
                dynamic: wanted.dynamic.map(str::to_owned),
                http1: wanted.http1,
                guards: wanted.guards,
            };
            let mut made = Writer::with_capacity(2048);
            put_rest(self.scope, &kind, &mut made);
            known.push((kind, made.into_bytes()));
            known.len() - 1
        });
        into.raw(&known[place].1);
    }
}

/// The connection manager of one side.
pub(crate) fn manager(scope: &Scope, wanted: Wanted<'_, '_>) -> Filter {
    Managers::new(scope).manager(wanted)
}

/// Writes all of a connection manager but statistics and routes.
fn put_rest(scope: &Scope, wanted: &Kind<'_>, into: &mut Writer) {
    let side = wanted.side;
    let config = &scope.config;
    let own = scope.settings.config(&config.default_config);
    let none = ProxyHeaders::default();
    let headers = own.proxy_headers.as_ref().unwrap_or(&none);
    let mut http1 = wanted.http1.clone();
    if http1.is_none() && (scope.features.http10 || scope.settings.http10) {
        http1 = Some(core::Http1ProtocolOptions {
            accept_http_10: true,
            ..Default::default()
        });
    }
    if headers.preserve_http1_header_case == Some(true) {
        http1.get_or_insert_default().header_key_format = Some(preserved_case());
    }
    let skips_peers = headers
        .metadata_exchange_headers
        .as_ref()
        .is_some_and(|own| own.mode == "IN_MESH");
    let mut manager = hcm::HttpConnectionManager {
        stream_idle_timeout: seconds(0),
        access_log: access_log::all(scope, side, access_log::Kind::Http),
        use_remote_address: flag(
            side == Side::Gateway || side == Side::Outbound && scope.features.use_remote_address,
        ),
        proxy_100_continue: true,
        append_x_forwarded_port: Switch::is_on(headers.x_forwarded_port),
        upgrade_configs: vec![parts::UpgradeConfig {
            upgrade_type: "websocket".to_owned(),
            ..Default::default()
        }],
        http_protocol_options: http1,
        ..Default::default()
    };
    if let Some(idle) = scope.settings.idle_timeout {
        manager
            .common_http_protocol_options
            .get_or_insert_default()
            .idle_timeout = span(idle);
    }
    if side == Side::Inbound && wanted.protocol.is_http2() {
        manager.http2_protocol_options = Some(core::Http2ProtocolOptions::default());
    }
    normalise(scope, &mut manager);
    named(side, headers, &mut manager);
    certificates(scope, side, headers, &mut manager);
    if let Some(settings) = scope
        .settings
        .connections(&config.default_config, scope.role == mesh::Role::Router)
    {
        connections(&settings, &mut manager);
    }
    let remote = manager.use_remote_address.is_some_and(|flag| flag.value);
    if (remote || scope.features.internal_networks) && scope.networks.are_configured() {
        let ranges = internal(scope);
        if !ranges.is_empty() {
            manager.internal_address_config = Some(parts::InternalAddressConfig {
                cidr_ranges: ranges,
                ..Default::default()
            });
        }
    }
    manager.put(into);
    tracing::put(scope, side, into);
    let filters = order::Wanted {
        side,
        grpc_web: wanted.protocol == Protocol::GrpcWeb,
        quiet: Switch::is_off(headers.envoy_debug_headers),
        skips_peers: skips_peers && side != Side::Inbound && wanted.protocol != Protocol::HttpProxy,
        dynamic: wanted.dynamic.clone(),
        any_name: side == Side::Outbound
            && scope.outbound.policy == OutboundMode::AllowAnyDynamicDns,
        guards: wanted.guards,
    };
    order::put(scope, &filters, into);
}

/// Ranges of addresses that belong to the mesh's networks.
fn internal(scope: &Scope) -> Vec<core::CidrRange> {
    let ranges = scope.networks.ranges();
    let ranges = ranges.map(|(address, length)| format!("{address}/{length}"));
    ranges.filter_map(|text| range(&text)).collect()
}

/// Names of HTTP/1 headers keep their case.
pub(crate) fn preserved_case() -> core::http1_protocol_options::HeaderKeyFormat {
    use core::http1_protocol_options::header_key_format::HeaderFormat;
    core::http1_protocol_options::HeaderKeyFormat {
        header_format: Some(HeaderFormat::StatefulFormatter(
            core::TypedExtensionConfig {
                name: "preserve_case".to_owned(),
                typed_config: Some(PreserveCaseFormatterConfig::default().pack()),
            },
        )),
    }
}

/// Paths are normalised before anything looks at them, as far as the mesh wants it.
fn normalise(scope: &Scope, manager: &mut hcm::HttpConnectionManager) {
    use parts::PathWithEscapedSlashesAction as Action;
    let wanted = scope.config.path_normalization.normalization.as_str();
    manager.path_with_escaped_slashes_action = Action::KeepUnchanged as i32;
    manager.normalize_path = flag(wanted != "NONE");
    manager.merge_slashes = matches!(wanted, "MERGE_SLASHES" | "DECODE_AND_MERGE_SLASHES");
    if wanted == "DECODE_AND_MERGE_SLASHES" {
        manager.path_with_escaped_slashes_action = Action::UnescapeAndForward as i32;
    }
}

/// Header `server`, and whether requests get an id.
fn named(side: Side, headers: &ProxyHeaders, manager: &mut hcm::HttpConnectionManager) {
    if side != Side::Outbound {
        manager.server_name = "istio-envoy".to_owned();
    }
    if let Some(server) = &headers.server {
        if server.disabled == Some(true) {
            manager.server_name = String::new();
            manager.server_header_transformation =
                parts::ServerHeaderTransformation::PassThrough as i32;
        } else if !server.value.is_empty() {
            manager.server_name.clone_from(&server.value);
        }
    }
    if Switch::is_off(headers.request_id) {
        manager.generate_request_id = flag(false);
    }
}

/// What is told of the client's certificate.
fn certificates(
    scope: &Scope,
    side: Side,
    headers: &ProxyHeaders,
    manager: &mut hcm::HttpConnectionManager,
) {
    use parts::ForwardClientCertDetails as Forward;
    match side {
        Side::Outbound => {}
        Side::Inbound => {
            let details = headers.set_current_client_cert_details.unwrap_or_default();
            let forward = headers.forwarded_client_cert.and_then(forwarded);
            manager.forward_client_cert_details = forward.unwrap_or(Forward::AppendForward) as i32;
            manager.set_current_client_cert_details = Some(parts::SetCurrentClientCertDetails {
                subject: flag(details.subject != Some(false)),
                cert: details.cert == Some(true),
                chain: details.chain == Some(true),
                dns: details.dns != Some(false),
                uri: details.uri != Some(false),
                ..Default::default()
            });
        }
        Side::Gateway => {
            let own = scope.settings.config(&scope.config.default_config);
            let topology = own.gateway_topology.clone().unwrap_or_default();
            let forward = topology.forward_client_cert_details.and_then(forwarded);
            let forward = forward.unwrap_or(Forward::SanitizeSet);
            manager.forward_client_cert_details = forward as i32;
            manager.xff_num_trusted_hops = topology.num_trusted_proxies;
            if matches!(forward, Forward::SanitizeSet | Forward::AppendForward) {
                manager.set_current_client_cert_details =
                    Some(parts::SetCurrentClientCertDetails {
                        subject: flag(true),
                        cert: true,
                        uri: true,
                        dns: true,
                        ..Default::default()
                    });
            }
            manager.http_protocol_options.get_or_insert_default();
        }
    }
}

fn forwarded(wanted: ForwardClientCert) -> Option<parts::ForwardClientCertDetails> {
    use parts::ForwardClientCertDetails as Forward;
    Some(match wanted {
        ForwardClientCert::Undefined => return None,
        ForwardClientCert::Sanitize => Forward::Sanitize,
        ForwardClientCert::ForwardOnly => Forward::ForwardOnly,
        ForwardClientCert::AppendForward => Forward::AppendForward,
        ForwardClientCert::SanitizeSet => Forward::SanitizeSet,
        ForwardClientCert::AlwaysForwardOnly => Forward::AlwaysForwardOnly,
    })
}

/// Limits of connections, which outdo those of the mesh.
fn connections(settings: &ConnectionSettings, manager: &mut hcm::HttpConnectionManager) {
    use core::http_protocol_options::HeadersWithUnderscoresAction as Underscores;
    use parts::PathWithEscapedSlashesAction as Slashes;
    let limit = |value: Option<i32>| {
        value
            .and_then(|value| u32::try_from(value).ok())
            .and_then(number)
    };
    let common = || core::HttpProtocolOptions::default();
    if let Some(idle) = settings.http_idle_timeout {
        let options = manager
            .common_http_protocol_options
            .get_or_insert_with(common);
        options.idle_timeout = span(idle);
    }
    if let Some(longest) = settings.http_max_connection_duration {
        let options = manager
            .common_http_protocol_options
            .get_or_insert_with(common);
        options.max_connection_duration = span(longest);
    }
    if let Some(longest) = settings.http_max_stream_duration {
        let options = manager
            .common_http_protocol_options
            .get_or_insert_with(common);
        options.max_stream_duration = span(longest);
    }
    if let Some(idle) = settings.http_stream_idle_timeout {
        manager.stream_idle_timeout = span(idle);
    }
    manager.request_timeout = settings.http_request_timeout.and_then(span);
    manager.request_headers_timeout = settings.http_request_headers_timeout.and_then(span);
    manager.drain_timeout = settings.http_drain_timeout.and_then(span);
    let streams = settings.http_max_concurrent_streams;
    let stream = settings.http2_initial_stream_window_size;
    let connection = settings.http2_initial_connection_window_size;
    if streams.is_some() || stream.is_some() || connection.is_some() {
        let options = manager.http2_protocol_options.get_or_insert_default();
        options.max_concurrent_streams = limit(streams).or(options.max_concurrent_streams);
        options.initial_stream_window_size = limit(stream).or(options.initial_stream_window_size);
        options.initial_connection_window_size =
            limit(connection).or(options.initial_connection_window_size);
    }
    let underscores = match settings.http_headers_with_underscores_action.as_str() {
        "" | "HEADERS_WITH_UNDERSCORES_UNSPECIFIED" => None,
        "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST" => Some(Underscores::RejectRequest),
        "HEADERS_WITH_UNDERSCORES_DROP_HEADER" => Some(Underscores::DropHeader),
        _ => Some(Underscores::Allow),
    };
    if let Some(action) = underscores {
        let options = manager
            .common_http_protocol_options
            .get_or_insert_with(common);
        options.headers_with_underscores_action = action as i32;
    }
    if let Some(merge) = settings.http_merge_slashes {
        manager.merge_slashes = merge;
    }
    manager.path_with_escaped_slashes_action = match settings
        .http_path_with_escaped_slashes_action
        .as_str()
    {
        "" | "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED" => manager.path_with_escaped_slashes_action,
        "REJECT_REQUEST" => Slashes::RejectRequest as i32,
        "UNESCAPE_AND_REDIRECT" => Slashes::UnescapeAndRedirect as i32,
        "UNESCAPE_AND_FORWARD" => Slashes::UnescapeAndForward as i32,
        _ => Slashes::KeepUnchanged as i32,
    };
}

/// A connection manager without anything special.
pub(crate) fn http(
    scope: &Scope,
    side: Side,
    statistics: Statistics,
    protocol: Protocol,
    routes: Routes,
) -> Filter {
    manager(
        scope,
        Wanted {
            side,
            statistics,
            protocol,
            routes,
            dynamic: None,
            http1: None,
            guards: &[],
        },
    )
}
