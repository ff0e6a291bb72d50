//! The access log of the mesh: a file, in text or JSON.

use mesh::Scope;
use proto::envoy::config::accesslog::v3::access_log::ConfigType;
use proto::envoy::config::accesslog::v3::{
    AccessLog, AccessLogFilter, ResponseFlagFilter, access_log_filter,
};
use proto::envoy::config::core::v3::{
    DataSource, SubstitutionFormatString, data_source, substitution_format_string,
};
use proto::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log};
use proto::google::protobuf::{Struct, Value, value::Kind as ValueKind};
use proto::pack::Pack;

use crate::listener::filter_chain::Side;

/// Upstream's format.
const TEXT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/// Keys and values of the JSON format.
const JSON: [(&str, &str); 25] = [
    ("start_time", "%START_TIME%"),
    ("route_name", "%ROUTE_NAME%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    (
        "connection_termination_details",
        "%CONNECTION_TERMINATION_DETAILS%",
    ),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("duration", "%DURATION%"),
    (
        "upstream_service_time",
        "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    ),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    (
        "upstream_transport_failure_reason",
        "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    ),
    ("", ""),
];

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Requests.
    Http,
    /// Connections.
    Tcp,
}

/// Logs of requests and connections.
pub(crate) fn all(scope: &Scope, _side: Side, _kind: Kind) -> Vec<AccessLog> {
    let config = &scope.config;
    if config.access_log_file.is_empty() {
        return Vec::new();
    }
    let format = match config.access_log_encoding.as_str() {
        "JSON" => substitution_format_string::Format::JsonFormat(Struct {
            fields: JSON
                .iter()
                .filter(|(key, _)| !key.is_empty())
                .map(|(key, value)| {
                    let kind = Some(ValueKind::StringValue((*value).to_owned()));
                    ((*key).to_owned(), Value { kind })
                })
                .collect(),
        }),
        _ => {
            let text = match config.access_log_format.as_str() {
                "" => TEXT.to_owned(),
                own if own.ends_with('\n') => own.to_owned(),
                own => format!("{own}\n"),
            };
            substitution_format_string::Format::TextFormatSource(DataSource {
                specifier: Some(data_source::Specifier::InlineString(text)),
                ..Default::default()
            })
        }
    };
    let log = FileAccessLog {
        path: config.access_log_file.clone(),
        access_log_format: Some(file_access_log::AccessLogFormat::LogFormat(
            SubstitutionFormatString {
                format: Some(format),
                ..Default::default()
            },
        )),
    };
    vec![AccessLog {
        name: "envoy.access_loggers.file".to_owned(),
        config_type: Some(ConfigType::TypedConfig(log.pack())),
        ..Default::default()
    }]
}

/// Logs of a listener: only connections that found no filter chain, which nothing else would log.
pub(crate) fn of_listener(scope: &Scope, side: Side) -> Vec<AccessLog> {
    if scope.config.disable_envoy_listener_log {
        return Vec::new();
    }
    let mut logs = all(scope, side, Kind::Tcp);
    for log in &mut logs {
        log.filter = Some(AccessLogFilter {
            filter_specifier: Some(access_log_filter::FilterSpecifier::ResponseFlagFilter(
                ResponseFlagFilter {
                    flags: vec!["NR".to_owned()],
                },
            )),
        });
    }
    logs
}
