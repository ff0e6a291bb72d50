//! Why a pod could not be injected.

use crate::annotation::AnnotationError;
use crate::merge::MergeError;
use crate::mesh_config::MeshError;
use crate::template::TemplateError;

/// The pod stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Annotations have values that can't be meant.
    #[error("{}", listed(.0))]
    Annotations(Vec<AnnotationError>),
    /// The pod asks for a template that does not exist.
    #[error("injection template {name:?} does not exist, expected one of {known}")]
    NoTemplate {
        /// What is asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The pod asks for more templates than anyone needs, each of which is work.
    #[error("annotation {annotation} names {count} templates, expected at most {most}")]
    TooManyTemplates {
        /// Name of the annotation.
        annotation: &'static str,
        /// How many it names.
        count: usize,
        /// How many it may.
        most: usize,
    },
    /// A template failed.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// What a template printed is no pod.
    #[error("injection template {name:?} printed no YAML object: {reason}")]
    NotYaml {
        /// Name of the template.
        name: String,
        /// Where it is none.
        reason: String,
    },
    /// What a template printed does not merge with the pod.
    #[error("the injected part does not merge with the pod: {0}")]
    Merge(#[from] MergeError),
    /// The proxy config of the pod can't be read.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// An annotation of an earlier injection can't be read.
    #[error("annotation {annotation} is no JSON: {reason}")]
    Remembered {
        /// Name of the annotation.
        annotation: &'static str,
        /// Where it is none.
        reason: String,
    },
    /// The application's metrics are on a port that they can't be on.
    #[error("metrics of the application can't be on port {port}: {reason}")]
    MetricsPort {
        /// The port, as it is written.
        port: String,
        /// Why.
        reason: String,
    },
    /// The port of the agent is none.
    #[error("annotation status.sidecar.istio.io/port: {0:?} is no port")]
    StatusPort(String),
    /// An object has no pod in it.
    #[error("{object}: {field} is missing, expected the template of a pod")]
    NoPod {
        /// Kind and name.
        object: String,
        /// Where the pod should be.
        field: &'static str,
    },
}

fn listed(errors: &[AnnotationError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
