//! The IstioOperator resource as its author wrote it: its form is checked, nothing is merged
//! beneath it and nothing is judged.

mod kubernetes;
mod shape;
mod strict;

use std::collections::BTreeMap;

use base::{ObjectRef, Problem};
use serde_json::{Map, Value};

pub use strict::nearest;

/// What is wrong with the form of a mesh configuration that stands at `path` of a specification:
/// fields that no version in use knows, values of the wrong type.
pub fn mesh_config_form(subject: &ObjectRef, path: &str, mesh: &Value) -> Vec<Problem> {
    strict::check_mesh(subject, path, mesh)
}

/// The fields of a mesh configuration.
pub fn mesh_config_fields() -> impl Iterator<Item = &'static str> {
    shape::SHAPES.fields("meshConfig")
}

/// `apiVersion` of the resource.
pub const API_VERSION: &str = "install.istio.io/v1alpha1";
/// `kind` of the resource.
pub const KIND: &str = "IstioOperator";

/// An IstioOperator whose form has been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct IstioOperator {
    /// `metadata.name`; empty when the document has none, which only files may.
    pub name: String,
    /// `metadata.namespace`; empty when the document has none.
    pub namespace: String,
    /// `metadata.generation`; 0 for a file.
    pub generation: i64,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `spec`.
    pub spec: Spec,
}

/// The `spec`, kept as written so that profiles merge beneath it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    /// Every field as written; known to consist of known fields of the right types.
    pub fields: Map<String, Value>,
}

impl IstioOperator {
    /// Checks the form of a resource.
    ///
    /// # Errors
    /// Every field that is unknown or has the wrong type, each with its path; an unknown one
    /// names the nearest known field.
    pub fn parse(value: &Value) -> Result<IstioOperator, Vec<Problem>> {
        let metadata = &value["metadata"];
        let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        let annotations = metadata["annotations"].as_object().into_iter().flatten();
        let mut found = IstioOperator {
            name: text("name"),
            namespace: text("namespace"),
            generation: metadata["generation"].as_i64().unwrap_or_default(),
            deleting: !metadata["deletionTimestamp"].is_null(),
            annotations: annotations
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            spec: Spec::default(),
        };
        let subject = found.reference();
        let mut problems = header(&subject, value);
        problems.extend(strict::check(&subject, &value["spec"]));
        if !problems.is_empty() {
            return Err(problems);
        }
        if let Value::Object(fields) = &value["spec"] {
            found.spec.fields = fields.clone();
        }
        Ok(found)
    }

    /// How messages name the resource; `(unnamed)` stands for a missing name.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            namespace: (!self.namespace.is_empty()).then(|| self.namespace.clone()),
            name: match self.name.as_str() {
                "" => "(unnamed)".to_owned(),
                name => name.to_owned(),
            },
        }
    }
}

/// What is wrong beside `spec`.
fn header(subject: &ObjectRef, value: &Value) -> Vec<Problem> {
    [("apiVersion", API_VERSION), ("kind", KIND)]
        .into_iter()
        .filter(|(field, expected)| value[field].as_str() != Some(expected))
        .map(|(field, expected)| {
            let found = value[field].as_str().unwrap_or_default();
            let message = format!("is {found:?}, expected {expected}");
            Problem::error(subject, field, "InvalidValue", message)
        })
        .chain(
            // Status is written by the operator; anything else at the top is a slip of indentation.
            value
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, _)| key)
                .filter(|key| {
                    !["apiVersion", "kind", "metadata", "spec", "status"].contains(&key.as_str())
                })
                .map(|key| {
                    let message = "is not a known field, did you mean to indent it below spec";
                    Problem::error(subject, key, "UnknownField", message)
                }),
        )
        .collect()
}

#[cfg(test)]
mod tests;
