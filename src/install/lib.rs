//! From an IstioOperator to the Kubernetes objects of an installation: `resolve` merges profiles
//! and judges, `build` renders. Pure: applies nothing and asks no cluster.

mod base;
mod component;
mod gateway;
mod hosted;
mod istio_operator_crd;
mod istiod;
mod labels;
mod manifest;
mod merge;
mod object;
mod overlay;
mod patch;
mod pod;
mod profile;
mod rbac;
mod resolve;
mod scaling;
mod settings;
mod validation;
mod values;

pub use crate::base::istio_crds;
pub use component::Component;
pub use hosted::{Command, Host, command};
pub use istio_operator_crd::istio_operator_crd;
pub use manifest::{ComponentManifest, Manifest, build, sort};
pub use merge::merge;
pub use object::Object;
pub use profile::{profile, profiles};
pub use resolve::{IDLE_OF_PROXIES, Install, Observed, Owner, READ_BY_DISCOVERY, resolve};

/// Registry and path of the images of this version, where nobody names another.
pub const DEFAULT_HUB: &str = "localhost/ferrosail";

#[cfg(test)]
mod tests;
