//! Reconciles IstioOperator resources: what the specification asks for is rendered, applied,
//! healed and told about in status. The shape of a pass stands in `reconcile`; what is rendered
//! is the business of `install`, how it is written that of `rollout`.

mod announce;
mod ca_health;
mod ca_plan;
mod context;
mod drift;
mod finalize;
mod held;
pub mod hosted;
mod memory;
mod metrics;
mod others;
mod outcome;
#[cfg(test)]
mod permissions;
mod reconcile;
mod removal;
mod repair;
mod report;
mod status;
mod watch;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{applier, controller};
use tokio::sync::mpsc;
use tokio::sync::watch::{Receiver, Sender};

pub use ca_health::{CaHealth, Distribution};
pub use ca_plan::CaPlan;
pub use context::{Context, Settings};
pub use metrics::Metrics;

use reconcile::reconcile;

/// Reconciliations that run at the same time. None waits for workloads, so few suffice.
const CONCURRENCY: u16 = 4;
/// Requests for reconciliation that may wait to be scheduled; when it is full, watches pause.
const WAKE_QUEUE: usize = 256;

/// What passes between the operator and whoever keeps the CA.
#[derive(Debug)]
pub struct Ca {
    /// Which CA is to be kept.
    pub plan: Sender<Option<CaPlan>>,
    /// How the one that is kept is.
    pub health: Receiver<CaHealth>,
}

/// Watches and reconciles until `shutdown` resolves. To be run by the leader only.
///
/// # Errors
/// When the API server cannot be asked for its version at the start.
pub async fn run(
    client: Client,
    settings: Settings,
    metrics: Metrics,
    ca: Ca,
    hosted_by: Option<hosted::HostedBy>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), rollout::Error> {
    let kubernetes = rollout::gather::kubernetes_version(&client).await?;
    let writer = Writer::new(watch::operator_resource());
    let store = writer.as_reader();
    let mut health = ca.health.clone();
    let ctx = Arc::new(Context::new(
        client, settings, kubernetes, metrics, ca, &store,
    ));
    if let Some(host) = hosted_by.clone() {
        ctx.host_through(host);
    }
    let (wake, woken) = mpsc::channel(WAKE_QUEUE);
    let (synced, all_synced) = tokio::sync::oneshot::channel();
    ctx.wake_through(wake.clone());
    let objects = watch::objects(&ctx, &wake, synced);
    let operators = watch::operators(&ctx, writer, &wake);
    let host = watch::host(&ctx, hosted_by, &wake);

    let of_ca = async {
        while health.changed().await.is_ok() {
            ctx.wake_keeper();
            // Namespaces come in groups; status follows once a second.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        std::future::pending::<()>().await;
    };

    let work = async {
        if all_synced.await.is_err() {
            return;
        }
        tracing::info!("the inventory is complete, reconciling");
        let queue = futures::stream::unfold(woken, |mut woken| async move {
            let request = woken.recv().await?;
            Some((Ok::<_, Infallible>(request), woken))
        });
        let config = controller::Config::default()
            .debounce(Duration::from_millis(20))
            .concurrency(CONCURRENCY);
        let mut done = std::pin::pin!(applier(
            |cr, ctx| Box::pin(reconcile(cr, ctx)),
            |_, error: &Infallible, _| match *error {},
            Arc::clone(&ctx),
            store,
            queue,
            config,
        ));
        while let Some(result) = done.next().await {
            if let Err(error) = result {
                // The resource vanished between its event and its turn.
                tracing::debug!(%error, "not reconciled");
            }
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = objects => {}
        () = operators => {}
        () = host => {}
        () = of_ca => {}
        () = work => {}
    }
    Ok(())
}
