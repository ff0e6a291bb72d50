//! One rendered Kubernetes object with its reference. Knows nothing of clusters.

use base::ObjectRef;
use serde::Serialize;
use serde_json::Value;

/// A Kubernetes object as it is to be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Which object it is.
    pub reference: ObjectRef,
    /// The whole object, `apiVersion` and `kind` included.
    pub body: Value,
}

impl Object {
    /// Renders a typed object.
    pub fn of<T: k8s_openapi::Resource + Serialize>(object: &T) -> Object {
        Object::from_value(serde_json::to_value(object).expect("Kubernetes types are plain data"))
    }

    /// Takes an object that is data already; it must carry `apiVersion`, `kind` and `metadata.name`.
    pub fn from_value(body: Value) -> Object {
        let text = |pointer: &str| {
            body.pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        Object {
            reference: ObjectRef {
                api_version: text("/apiVersion").unwrap_or_default(),
                kind: text("/kind").unwrap_or_default(),
                namespace: text("/metadata/namespace"),
                name: text("/metadata/name").unwrap_or_default(),
            },
            body,
        }
    }
}
