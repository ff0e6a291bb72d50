//! The mesh's certificate authority: which CA is in force, that its root is known in every namespace, the
//! certificates of workloads, and the control plane's serving certificate. Knows neither xDS nor webhooks.

mod distribute;
mod health;
pub mod issue;
mod keeper;
mod metrics;
mod root;
mod root_cert;
mod secret;
pub mod server;
pub mod serving;

use std::sync::Arc;

use base::names;
use kube::Client;
use serve::Shutdown;
use serve::leader::{self, Candidate};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use health::{Distribution, Health};
pub use metrics::Metrics;
pub use root::{Root, Source, Unusable};

/// What [`run`] needs to know.
#[derive(Clone)]
pub struct Settings {
    /// Access to the cluster.
    pub client: Client,
    /// Root namespace of the mesh: where the CA's Secret and the Lease are.
    pub namespace: String,
    /// Subject of a root that has to be made.
    pub trust_domain: String,
    /// Unique among all processes that keep the CA: the pod's name.
    pub identity: String,
}

/// A CA whose life is kept.
pub struct Running {
    /// The CA in force, `None` until there is one.
    pub root: watch::Receiver<Option<Arc<Root>>>,
    /// How it is.
    pub health: watch::Receiver<Health>,
    /// Ends after shutdown.
    pub task: JoinHandle<()>,
}

/// Runs the CA's life until `shutdown`.
///
/// Guarantees: an existing Secret is never overwritten; only the holder of the Lease
/// `istio-namespace-controller-election` writes; the values are known in every process whether it leads or not.
pub fn run(settings: Settings, shutdown: Shutdown) -> Running {
    let (sender, root) = watch::channel(None);
    let (told, health) = watch::channel(Health::default());
    let task = tokio::spawn({
        let root = root.clone();
        async move {
            let candidate = Candidate {
                namespace: settings.namespace.clone(),
                lease: names::CA_LEASE.to_owned(),
                identity: settings.identity.clone(),
            };
            let client = settings.client.clone();
            let told = Arc::new(told);
            let (leadership, election) = leader::stand(client.clone(), candidate, shutdown.clone());
            tokio::join!(
                keeper::keep(
                    settings,
                    leadership.clone(),
                    sender,
                    told.clone(),
                    shutdown.clone()
                ),
                distribute::distribute(client, root, leadership, told, shutdown),
            );
            election.await.expect("the election does not panic");
        }
    });
    Running { root, health, task }
}
