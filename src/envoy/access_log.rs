//! Access logs: which are written where, and what of. One file per form beside this one.

mod file;
mod grpc;
mod otlp;

use mesh::{Collector, Logs, Scope};
use proto::envoy::config::accesslog::v3::access_log::ConfigType;
use proto::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use proto::envoy::config::accesslog::v3::{
    AccessLog, AccessLogFilter, AndFilter, ExtensionFilter, ResponseFlagFilter, extension_filter,
};
use proto::envoy::config::core::v3::TypedExtensionConfig;
use proto::envoy::extensions::access_loggers::filters::cel::v3::ExpressionFilter;
use proto::envoy::extensions::formatter::req_without_query::v3::ReqWithoutQuery;
use proto::google::protobuf::Any;
use proto::pack::Pack;

use crate::listener::filter_chain::Side;

const FILE: &str = "envoy.access_loggers.file";
const HTTP: &str = "envoy.access_loggers.http_grpc";
const TCP: &str = "envoy.tcp_grpc_access_log";
const OTLP: &str = "envoy.access_loggers.open_telemetry";

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Requests.
    Http,
    /// Connections.
    Tcp,
    /// Connections that found no filter chain.
    Listener,
}

/// Logs of requests and connections.
pub(crate) fn all(scope: &Scope, side: Side, kind: Kind) -> Vec<AccessLog> {
    match &side.reports(scope).logs {
        Logs::OfMesh => of_mesh(scope, kind),
        Logs::Of(logs) => logs
            .iter()
            .filter_map(|log| {
                let (name, config) = of_provider(scope, &log.by)?;
                let expression = log.filter.as_deref().map(holds);
                Some(made(name, config, kind, expression))
            })
            .collect(),
    }
}

/// Logs of a listener: only connections that found no filter chain, which nothing else would log.
pub(crate) fn of_listener(scope: &Scope, side: Side) -> Vec<AccessLog> {
    if scope.config.disable_envoy_listener_log {
        return Vec::new();
    }
    all(scope, side, Kind::Listener)
}

/// Logs by the mesh's own settings.
fn of_mesh(scope: &Scope, kind: Kind) -> Vec<AccessLog> {
    let config = &scope.config;
    let mut logs = Vec::new();
    if !config.access_log_file.is_empty() {
        let file = file::of_mesh(&config.access_log_file, config);
        logs.push(made(FILE, file, kind, None));
    }
    if config.enable_envoy_access_log_service {
        let name = if kind == Kind::Http { HTTP } else { TCP };
        logs.push(made(name, grpc::of_mesh(kind), kind, None));
    }
    logs
}

/// The log of a provider, whatever is logged: upstream sends records of connections to those that
/// take requests too.
fn of_provider(scope: &Scope, by: &Collector) -> Option<(&'static str, Any)> {
    let provider = &by.provider;
    if let Some(log) = &provider.envoy_file_access_log {
        let config = file::of_provider(&provider.name, log, &scope.config);
        return Some((FILE, config));
    }
    let at = by.at.as_ref()?;
    if let Some(log) = &provider.envoy_http_als {
        return Some((HTTP, grpc::http(log, at)));
    }
    if let Some(log) = &provider.envoy_tcp_als {
        return Some((TCP, grpc::tcp(log, at)));
    }
    let log = provider.envoy_otel_als.as_ref()?;
    Some((OTLP, otlp::of(log, at)))
}

fn made(name: &str, config: Any, kind: Kind, own: Option<FilterSpecifier>) -> AccessLog {
    let lost = FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter {
        flags: vec!["NR".to_owned()],
    });
    let lost = (kind == Kind::Listener).then_some(lost);
    let filter = match (lost, own) {
        (Some(lost), Some(own)) => {
            let filters = [lost, own].map(filter);
            let filters = filters.into_iter().collect();
            Some(FilterSpecifier::AndFilter(AndFilter { filters }))
        }
        (lost, own) => lost.or(own),
    };
    AccessLog {
        name: name.to_owned(),
        filter: filter.map(self::filter),
        config_type: Some(ConfigType::TypedConfig(config)),
    }
}

fn filter(specifier: FilterSpecifier) -> AccessLogFilter {
    AccessLogFilter {
        filter_specifier: Some(specifier),
    }
}

/// What an expression in CEL holds of.
fn holds(expression: &str) -> FilterSpecifier {
    let config = ExpressionFilter {
        expression: expression.to_owned(),
        ..Default::default()
    };
    FilterSpecifier::ExtensionFilter(ExtensionFilter {
        name: "envoy.access_loggers.extension_filters.cel".to_owned(),
        config_type: Some(extension_filter::ConfigType::TypedConfig(config.pack())),
    })
}

/// What Envoy needs beside its own commands to fill formats.
fn formatters<'a>(formats: impl IntoIterator<Item = &'a str>) -> Vec<TypedExtensionConfig> {
    let mut formats = formats.into_iter();
    let without_query = formats.any(|format| format.contains("%REQ_WITHOUT_QUERY"));
    let formatter = || TypedExtensionConfig {
        name: "envoy.formatter.req_without_query".to_owned(),
        typed_config: Some(ReqWithoutQuery::default().pack()),
    };
    without_query.then(formatter).into_iter().collect()
}
