//! Metadata of resources: which services and objects they stand for.

use std::collections::BTreeMap;

use base::ObjectRef;
use mesh::Service;
use proto::envoy::config::core::v3::Metadata;
use proto::google::protobuf::{ListValue, Struct, Value, value::Kind};
use proto::writer::Writer;

use crate::names;

/// Field numbers of `Metadata`, of entries of maps, and of `Struct` and `Value`.
const FILTER_METADATA: u32 = 1;
const KEY: u32 = 1;
const VALUE: u32 = 2;
const FIELDS: u32 = 1;
const STRING: u32 = 3;

pub(crate) fn text(text: impl Into<String>) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.into())),
    }
}

pub(crate) fn fields<const N: usize>(fields: [(&str, Value); N]) -> Struct {
    let fields = fields.into_iter();
    Struct {
        fields: fields.map(|(key, value)| (key.to_owned(), value)).collect(),
    }
}

/// JSON as users write it.
pub(crate) mod json {
    use serde_json::{Map, Value as Json};

    use super::{Kind, ListValue, Struct, Value};

    /// A mapping.
    pub(crate) fn mapping(map: &Map<String, Json>) -> Struct {
        let fields = map.iter();
        Struct {
            fields: fields
                .map(|(key, json)| (key.clone(), value(json)))
                .collect(),
        }
    }

    fn value(json: &Json) -> Value {
        let kind = match json {
            Json::Null => Kind::NullValue(0),
            Json::Bool(yes) => Kind::BoolValue(*yes),
            Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
            Json::String(text) => Kind::StringValue(text.clone()),
            Json::Array(items) => Kind::ListValue(ListValue {
                values: items.iter().map(value).collect(),
            }),
            Json::Object(map) => Kind::StructValue(mapping(map)),
        };
        Value { kind: Some(kind) }
    }

    /// The text that a value is, if it is one.
    pub(crate) fn as_text(value: &Value) -> Option<&str> {
        match &value.kind {
            Some(Kind::StringValue(text)) => Some(text),
            _ => None,
        }
    }
}

fn object(fields: Struct) -> Value {
    Value {
        kind: Some(Kind::StructValue(fields)),
    }
}

/// Metadata under the names of filters.
pub(crate) fn metadata<const N: usize>(parts: [(&str, Struct); N]) -> Metadata {
    let parts = parts.into_iter();
    Metadata {
        filter_metadata: parts.map(|(key, value)| (key.to_owned(), value)).collect(),
        ..Default::default()
    }
}

/// The services of a cluster.
pub(crate) fn services<'a>(services: impl Iterator<Item = &'a Service>) -> BTreeMap<String, Value> {
    let values = services.map(|service| {
        object(fields([
            ("host", text(&service.id.host)),
            ("name", text(&service.name)),
            ("namespace", text(&service.id.namespace)),
        ]))
    });
    let list = Value {
        kind: Some(Kind::ListValue(ListValue {
            values: values.collect(),
        })),
    };
    BTreeMap::from([("services".to_owned(), list)])
}

/// The user's object that a resource comes from.
pub(crate) fn config(origin: &ObjectRef) -> Metadata {
    metadata([(
        "istio",
        fields([("config", text(names::config_path(origin)))]),
    )])
}

/// The same, written as a field.
pub(crate) fn put_config(number: u32, origin: &ObjectRef, into: &mut Writer) {
    into.nested(number, |metadata| {
        metadata.nested(FILTER_METADATA, |part| {
            part.text(KEY, "istio").nested(VALUE, |own| {
                own.nested(FIELDS, |field| {
                    field.text(KEY, "config").nested(VALUE, |value| {
                        value.text(STRING, names::config_path(origin));
                    });
                });
            });
        });
    });
}

/// Metadata of the mesh with these fields.
pub(crate) fn istio(fields: BTreeMap<String, Value>) -> Metadata {
    metadata([("istio", Struct { fields })])
}

pub(crate) fn yes() -> Value {
    Value {
        kind: Some(Kind::BoolValue(true)),
    }
}

#[cfg(test)]
mod tests {
    use proto::envoy::config::route::v3::Route;
    use proto::pack::Put;
    use proto::writer::Writer;

    #[test]
    fn what_is_written_of_an_origin_is_what_is_built() {
        let origin = base::ObjectRef {
            api_version: "networking.istio.io/v1".to_owned(),
            kind: "VirtualService".to_owned(),
            namespace: Some("shop".to_owned()),
            name: "web".to_owned(),
        };
        let built = Route {
            metadata: Some(super::config(&origin)),
            ..Route::default()
        };
        let mut written = Writer::default();
        super::put_config(4, &origin, &mut written);
        assert_eq!(written.bytes(), built.fields());
    }
}
