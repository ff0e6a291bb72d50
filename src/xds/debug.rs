//! What this process can tell about itself to those who look for a fault: upstream's debug endpoints, over HTTP
//! ([`router`]) and as xDS types `istio.io/debug*`. Reads what streams and sources hold; decides nothing.

mod access;
mod config_dump;
mod connections;
mod endpoints;
mod http;
mod over_xds;
mod registry;
mod sync;
mod views;
mod written;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::snapshot::World;
use mesh::Mesh;
use serve::authenticate::Authenticate;
use tokio::sync::watch;

pub use connections::{Connections, Refused};
pub(crate) use connections::{Entry, Opening, Watched};
pub use http::{Late, router};
pub(crate) use over_xds::{Asked, answer as answer_over_xds, is_debug};
pub use written::{Ask, Written};

/// Everything that can be asked about. Cheap to clone.
#[derive(Clone)]
pub struct Debug {
    /// The open streams.
    pub connections: Connections,
    /// What proxies' configuration is made from.
    pub meshes: watch::Receiver<Option<Arc<Mesh>>>,
    /// The objects behind that, and the endpoints.
    pub worlds: watch::Receiver<Option<World>>,
    /// Who callers from elsewhere are; without it, only this host is answered.
    pub authenticate: Option<Arc<dyn Authenticate>>,
    /// Callers of this namespace may ask about everything, others about proxies of their own.
    pub system_namespace: String,
    /// Name of the cluster, the key of its services and endpoints.
    pub cluster: String,
    /// What people wrote, in their words.
    pub written: Ask,
}

/// A question: the path below `/debug/` and its parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Question {
    path: String,
    parameters: BTreeMap<String, String>,
    /// Namespace that the caller is confined to.
    confined: Option<String>,
}

impl Question {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Whether the caller may hear of a proxy.
    fn may_see(&self, namespace: &str) -> bool {
        self.confined.as_ref().is_none_or(|own| own == namespace)
    }
}

/// What is answered, with the status of HTTP.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// 200 with JSON.
    Json(serde_json::Value),
    /// 200 with a list of what is JSON already: too much to be parsed for it.
    Listed(Vec<Arc<str>>),
    /// Another status, and why.
    Refused(u16, &'static str),
}

#[cfg(test)]
mod tests;
