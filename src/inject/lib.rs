//! Sidecar injection: whether a pod is injected, and what it becomes. Pods come and go as JSON;
//! nothing here reads a file, a cluster or the environment.

mod annotation;
mod decide;
mod error;
#[cfg(test)]
mod hostile;
mod image;
mod injection;
mod merge;
mod mesh_config;
mod order;
mod overrides;
mod owner;
pub mod parameters;
pub mod patch;
mod pod;
mod probes;
mod prometheus;
mod quantity;
mod schema;
mod settings;
mod template;
mod workload;

pub use decide::{IGNORED_NAMESPACES, INJECT, Policy, Reason, Selector, Unasked, Verdict, decide};
pub use error::Error;
pub use injection::{Request, inject};
pub use mesh_config::{MeshConfig, MeshError};
pub use owner::Owner;
pub use settings::{Settings, SettingsError};
pub use workload::{Context, inject_object};

/// Name of the proxy's container.
pub const PROXY: &str = "istio-proxy";
