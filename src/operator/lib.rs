//! Reconciles IstioOperator resources: what the specification asks for is rendered, applied,
//! healed and told about in status. The shape of a pass stands in `reconcile`; what is rendered
//! is the business of `install`, how it is written that of `rollout`.

mod announce;
mod ca_plan;
mod context;
mod drift;
mod finalize;
mod memory;
mod metrics;
mod outcome;
#[cfg(test)]
mod permissions;
mod reconcile;
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

pub use ca_plan::CaPlan;
pub use context::{Context, Settings};
pub use metrics::Metrics;

use reconcile::reconcile;

/// Reconciliations that run at the same time. None waits for workloads, so few suffice.
const CONCURRENCY: u16 = 4;
/// Requests for reconciliation that may wait to be scheduled; when it is full, watches pause.
const WAKE_QUEUE: usize = 256;

/// Watches and reconciles until `shutdown` resolves. To be run by the leader only.
///
/// # Errors
/// When the API server cannot be asked for its version at the start.
pub async fn run(
    client: Client,
    settings: Settings,
    metrics: Metrics,
    ca: tokio::sync::watch::Sender<Option<CaPlan>>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), rollout::Error> {
    let kubernetes = rollout::gather::kubernetes_version(&client).await?;
    let writer = Writer::new(watch::operator_resource());
    let store = writer.as_reader();
    let ctx = Arc::new(Context::new(
        client, settings, kubernetes, metrics, ca, &store,
    ));
    let (wake, woken) = mpsc::channel(WAKE_QUEUE);
    let (synced, all_synced) = tokio::sync::oneshot::channel();
    let objects = watch::objects(&ctx, &wake, synced);
    let operators = watch::operators(&ctx, writer, &wake);

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
        () = work => {}
    }
    Ok(())
}
