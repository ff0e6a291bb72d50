//! Telling people on their own objects what became of them: condition `Programmed` on Istio's kinds ([`programmed`])
//! and addresses on Ingresses ([`ingress`]). One process of a control plane writes, the holder of a Lease, and the others
//! tell it what only they know ([`reports`]); every write to users' objects is to the status subresource, made from the
//! object as it is stored, and only when something differs.

pub mod ingress;
mod kinds;
mod metrics;
mod patch;
pub mod programmed;
mod queue;
pub mod reports;
mod verdict;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::finding::Finding;
use base::{ObjectRef, Problem};
use imbl::OrdMap;
use kube::Client;
use serve::leader::Leadership;
use tokio::sync::watch;

pub use metrics::Metrics;

/// The Lease of who writes (upstream: the same name).
pub const LEASE: &str = "istio-status-leader";
/// Field manager of the writes.
const FIELD_MANAGER: &str = "istio-discovery";
/// For one call of the API server.
const CALL: Duration = Duration::from_secs(15);

/// What every writer needs.
#[derive(Clone)]
pub struct Access {
    /// The way to the API server.
    pub client: Client,
    /// Whether this process is the one that writes.
    pub leadership: Leadership,
    /// Counted here.
    pub metrics: Metrics,
}

/// What is known of users' objects, each by those who know it.
#[derive(Clone)]
pub struct Facts {
    /// What is wrong with objects by themselves, and what their status says.
    pub findings: watch::Receiver<OrdMap<ObjectRef, Arc<Finding>>>,
    /// What is wrong between objects.
    pub problems: watch::Receiver<Arc<[Problem]>>,
    /// What proxies of all replicas say of objects that are to blame for what they refuse.
    pub refused: watch::Receiver<BTreeMap<ObjectRef, String>>,
}
