//! From a scope to what a proxy is sent: clusters, listeners, routes and, beside them, endpoints.
//! Plain functions of their arguments; leaf settings of `api` become Envoy's here and nowhere else.

mod access_log;
mod cluster;
mod derive;
mod endpoint;
mod filter;
mod listener;
mod memo;
mod metadata;
mod name_table;
mod names;
mod narrow;
mod parts;
mod resource;
mod route;
pub mod simulate;
mod statistics;
mod suspects;
mod tracing;

pub use derive::{derive, derive_type};
pub use endpoint::{EndpointView, assign};
pub use memo::Memo;
pub use resource::{Resource, Resources, Table, Views, parse_version, version_of};
pub use suspects::suspects;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
