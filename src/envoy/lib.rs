//! From a scope to what a proxy is sent: clusters, listeners, routes and, beside them, endpoints.
//! Plain functions of their arguments; leaf settings of `api` become Envoy's here and nowhere else.

mod access_log;
mod cluster;
mod derive;
mod endpoint;
mod filter;
mod listener;
mod metadata;
mod name_table;
mod names;
mod parts;
mod resource;
mod route;
mod tracing;

pub use derive::{Memo, derive};
pub use endpoint::{EndpointView, assign};
pub use resource::{Resource, Resources};

#[cfg(test)]
mod tests;
