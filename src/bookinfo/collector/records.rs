//! What those who collect are sent, as far as tests ask for it: the messages of Envoy's access log service and of
//! OpenTelemetry, and what is printed of each.

use prost::{Message, Oneof};
use serde_json::{Map, Value, json};

/// Envoy's `StreamAccessLogsMessage`.
#[derive(Clone, PartialEq, Message)]
struct AccessLogs {
    #[prost(message, optional, tag = "1")]
    identifier: Option<Identifier>,
    #[prost(message, optional, tag = "2")]
    http: Option<Requests>,
    #[prost(message, optional, tag = "3")]
    tcp: Option<Connections>,
}

#[derive(Clone, PartialEq, Message)]
struct Identifier {
    #[prost(string, tag = "2")]
    log_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Requests {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<Request>,
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, optional, tag = "1")]
    common: Option<Common>,
    #[prost(message, optional, tag = "3")]
    asked: Option<Asked>,
    #[prost(message, optional, tag = "4")]
    answered: Option<Answered>,
}

#[derive(Clone, PartialEq, Message)]
struct Common {
    #[prost(string, tag = "15")]
    upstream_cluster: String,
}

#[derive(Clone, PartialEq, Message)]
struct Asked {
    #[prost(string, tag = "3")]
    authority: String,
    #[prost(string, tag = "5")]
    path: String,
    #[prost(btree_map = "string, string", tag = "13")]
    headers: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Answered {
    #[prost(message, optional, tag = "1")]
    code: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Connections {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<Connection>,
}

#[derive(Clone, PartialEq, Message)]
struct Connection {
    #[prost(message, optional, tag = "1")]
    common: Option<Common>,
}

/// OpenTelemetry's `ExportLogsServiceRequest`.
#[derive(Clone, PartialEq, Message)]
struct Logs {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, repeated, tag = "2")]
    records: Vec<Record>,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(message, optional, tag = "5")]
    body: Option<Any>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Kind {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Yes(bool),
    #[prost(int64, tag = "3")]
    Whole(i64),
    #[prost(double, tag = "4")]
    Number(f64),
}

/// OpenTelemetry's `ExportTraceServiceRequest`.
#[derive(Clone, PartialEq, Message)]
struct Traces {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    /// 2 is the server's, 3 the client's.
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<Attribute>,
}

fn read<M: Message + Default>(bytes: &[u8]) -> Result<M, String> {
    M::decode(bytes).map_err(|error| error.to_string())
}

/// Records of Envoy's access log service.
pub fn access_logs(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let message: AccessLogs = read(bytes)?;
    // Only the first message of a stream names the log.
    let name = message.identifier.map(|identifier| identifier.log_name);
    let requests = message.http.into_iter().flat_map(|http| http.entries);
    let requests = requests.map(|entry| {
        let asked = entry.asked.unwrap_or_default();
        json!({
            "form": "als-http", "log": name, "authority": asked.authority, "path": asked.path,
            "headers": asked.headers, "code": entry.answered.and_then(|answered| answered.code),
            "cluster": entry.common.unwrap_or_default().upstream_cluster,
        })
    });
    let connections = message.tcp.into_iter().flat_map(|tcp| tcp.entries);
    let connections = connections.map(|entry| {
        let cluster = entry.common.unwrap_or_default().upstream_cluster;
        json!({"form": "als-tcp", "log": name, "cluster": cluster})
    });
    Ok(requests.chain(connections).collect())
}

/// Log records of OpenTelemetry.
pub fn logs(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let message: Logs = read(bytes)?;
    let mut found = Vec::new();
    for of in message.resources {
        let resource = attributes(of.resource.unwrap_or_default().attributes);
        for record in of.scopes.into_iter().flat_map(|scope| scope.records) {
            found.push(json!({
                "form": "otlp-log", "resource": resource, "body": value(record.body),
                "attributes": attributes(record.attributes),
            }));
        }
    }
    Ok(found)
}

/// Spans of OpenTelemetry.
pub fn spans(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let message: Traces = read(bytes)?;
    let mut found = Vec::new();
    for of in message.resources {
        let resource = attributes(of.resource.unwrap_or_default().attributes);
        for span in of.scopes.into_iter().flat_map(|scope| scope.spans) {
            found.push(json!({
                "form": "otlp-span", "resource": resource, "name": span.name, "kind": span.kind,
                "trace": hex(&span.trace), "parent": hex(&span.parent),
                "attributes": attributes(span.attributes),
            }));
        }
    }
    Ok(found)
}

/// Spans of Zipkin, which are JSON already.
pub fn zipkin(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let spans: Vec<Value> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let spans = spans.into_iter();
    let spans = spans.map(|span| json!({"form": "zipkin-span", "span": span}));
    Ok(spans.collect())
}

fn attributes(of: Vec<Attribute>) -> Value {
    let pairs = of.into_iter();
    let pairs: Map<String, Value> = pairs.map(|own| (own.key, value(own.value))).collect();
    Value::Object(pairs)
}

fn value(any: Option<Any>) -> Value {
    match any.and_then(|any| any.kind) {
        Some(Kind::Text(text)) => text.into(),
        Some(Kind::Yes(yes)) => yes.into(),
        Some(Kind::Whole(number)) => number.into(),
        Some(Kind::Number(number)) => number.into(),
        None => Value::Null,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use serde_json::json;

    use super::{Any, Attribute, Kind, Resource, ResourceSpans, ScopeSpans, Span, Traces};

    #[test]
    fn a_span_is_printed_with_its_service_and_tags() {
        let attribute = |key: &str, kind: Kind| Attribute {
            key: key.to_owned(),
            value: Some(Any { kind: Some(kind) }),
        };
        let span = Span {
            trace: vec![1, 255],
            parent: Vec::new(),
            name: "web:80/*".to_owned(),
            kind: 3,
            attributes: vec![attribute("code", Kind::Whole(200))],
        };
        let service = attribute("service.name", Kind::Text("web".to_owned()));
        let message = Traces {
            resources: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: vec![service],
                }),
                scopes: vec![ScopeSpans { spans: vec![span] }],
            }],
        };
        let found = super::spans(&message.encode_to_vec()).expect("readable");
        let expected = json!({
            "form": "otlp-span", "resource": {"service.name": "web"}, "name": "web:80/*", "kind": 3,
            "trace": "01ff", "parent": "", "attributes": {"code": 200},
        });
        assert_eq!(found, [expected]);
        assert!(super::spans(&[255]).is_err());
    }
}
