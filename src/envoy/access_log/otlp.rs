//! Access logs in OpenTelemetry's form.

use api::mesh_config::OtlpLog;
use mesh::Destination;
use proto::envoy::extensions::access_loggers::open_telemetry::v3::OpenTelemetryAccessLogConfig;
use proto::google::protobuf::Any;
use proto::opentelemetry::proto::common::v1::{AnyValue, KeyValue, KeyValueList, any_value};
use proto::pack::Pack;

use super::file::TEXT;
use super::formatters;
use super::grpc::{PEERS_EVER, common, owned};
use crate::parts::grpc_service;

/// Records for a provider.
#[allow(
    deprecated,
    reason = "older proxies know no other place for the service and the name"
)]
pub(super) fn of(log: &OtlpLog, at: &Destination) -> Any {
    let name = match log.log_name.as_str() {
        "" => "otel_envoy_accesslog",
        own => own,
    };
    let format = log.log_format.clone().unwrap_or_default();
    let body = match format.text.as_str() {
        "" => TEXT,
        own => own,
    };
    // Attributes are texts; what is none is as good as empty.
    let attributes: Vec<(&str, &str)> = format
        .labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
        .collect();
    let used = attributes.iter().map(|(_, value)| *value);
    let formatters = formatters(used.chain([body]));
    let mut values: Vec<KeyValue> = attributes
        .iter()
        .map(|(key, value)| KeyValue {
            key: (*key).to_owned(),
            value: Some(string(value)),
            ..Default::default()
        })
        .collect();
    values.sort_by(|a, b| a.key.cmp(&b.key));
    OpenTelemetryAccessLogConfig {
        common_config: Some(common(name, grpc_service(at), owned(&PEERS_EVER))),
        disable_builtin_labels: true,
        body: Some(string(body)),
        attributes: (!values.is_empty()).then_some(KeyValueList { values }),
        formatters,
        ..Default::default()
    }
    .pack()
}

fn string(text: &str) -> AnyValue {
    AnyValue {
        value: Some(any_value::Value::StringValue(text.to_owned())),
    }
}
