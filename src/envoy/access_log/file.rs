//! Access logs in files: upstream's formats, and those of users, in text or JSON.

use api::mesh_config::{FileLog, MeshConfig};
use proto::envoy::config::core::v3::{
    DataSource, JsonFormatOptions, SubstitutionFormatString, data_source,
    substitution_format_string::Format,
};
use proto::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log};
use proto::google::protobuf::{Any, Struct};
use proto::pack::Pack;

use super::formatters;
use crate::metadata::{fields, json, text};

/// Upstream's format.
pub(super) const TEXT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/// Keys and values of the JSON format.
const JSON: [(&str, &str); 24] = [
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
];

/// The file of the mesh's own settings.
pub(super) fn of_mesh(path: &str, config: &MeshConfig) -> Any {
    let own = config.access_log_format.as_str();
    let format = match config.access_log_encoding.as_str() {
        // A format that is no mapping is as good as none.
        "JSON" => match serde_json::from_str(own) {
            Ok(serde_json::Value::Object(labels)) => in_json(json::mapping(&labels)),
            _ => in_json(usual()),
        },
        _ => in_text(own),
    };
    packed(path, format, false)
}

/// The file of a provider.
pub(super) fn of_provider(name: &str, log: &FileLog, config: &MeshConfig) -> Any {
    let path = match log.path.as_str() {
        "" => "/dev/stdout",
        path => path,
    };
    let Some(format) = &log.log_format else {
        // The provider that every mesh has says what the mesh says.
        if name == "envoy" && !log.omit_empty_values {
            return of_mesh(path, config);
        }
        return packed(path, in_text(""), log.omit_empty_values);
    };
    let format = match (&format.text, &format.labels) {
        (Some(text), _) => in_text(text),
        (None, Some(labels)) if !labels.is_empty() => in_json(json::mapping(labels)),
        (None, Some(_)) => in_json(usual()),
        (None, None) => return empty(path),
    };
    packed(path, format, log.omit_empty_values)
}

/// A line always ends.
fn in_text(own: &str) -> Format {
    let line = match own {
        "" => TEXT.to_owned(),
        own if own.ends_with('\n') => own.to_owned(),
        own => format!("{own}\n"),
    };
    Format::TextFormatSource(DataSource {
        specifier: Some(data_source::Specifier::InlineString(line)),
        ..Default::default()
    })
}

fn in_json(labels: Struct) -> Format {
    Format::JsonFormat(labels)
}

/// Upstream's labels.
fn usual() -> Struct {
    fields(JSON.map(|(key, value)| (key, text(value))))
}

/// A format that says nothing: Envoy's own.
fn empty(path: &str) -> Any {
    let log = FileAccessLog {
        path: path.to_owned(),
        access_log_format: None,
    };
    log.pack()
}

fn packed(path: &str, format: Format, omit_empty_values: bool) -> Any {
    let used: Vec<&str> = match &format {
        Format::TextFormatSource(DataSource {
            specifier: Some(data_source::Specifier::InlineString(line)),
            ..
        }) => vec![line],
        Format::JsonFormat(labels) => labels.fields.values().filter_map(json::as_text).collect(),
        _ => Vec::new(),
    };
    let format = SubstitutionFormatString {
        formatters: formatters(used),
        json_format_options: matches!(&format, Format::JsonFormat(_))
            .then(JsonFormatOptions::default),
        omit_empty_values,
        format: Some(format),
        ..Default::default()
    };
    let log = FileAccessLog {
        path: path.to_owned(),
        access_log_format: Some(file_access_log::AccessLogFormat::LogFormat(format)),
    };
    log.pack()
}
