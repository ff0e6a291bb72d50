//! The operator's role: leadership, reconciliation, the CA's keeper, health and metrics, connected.
//! What each does is its own crate's business.

use std::path::PathBuf;
use std::time::Duration;

use kube::Client;
use operator::{CaPlan, Metrics, Settings};
use serve::health::Readiness;
use serve::http::{Limits, Transport};
use serve::leader::{self, Candidate, Leadership};
use serve::logging::{self, Format};
use serve::{Shutdown, http, kubernetes, metrics, shutdown};
use tokio::sync::watch;
use tokio::task::JoinSet;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long to wait before reconciliation is begun again after it could not begin.
const PAUSE: Duration = Duration::from_secs(2);

/// Reconcile IstioOperator resources.
#[derive(Debug, clap::Args)]
pub struct Operator {
    /// Kubeconfig of the cluster; without it the operator expects to run in a pod.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Registry and path of images when an IstioOperator names none.
    #[arg(long, env = "HUB", default_value = "localhost/ferrosail")]
    hub: String,
    /// Tag of images when an IstioOperator names none.
    #[arg(long, env = "TAG", default_value = VERSION)]
    tag: String,
    /// Namespace of the Lease by which one operator at a time reconciles.
    #[arg(long, env = "POD_NAMESPACE", default_value = "istio-operator")]
    namespace: String,
    /// Name of this process among those that stand for the Lease.
    #[arg(long, env = "POD_NAME", default_value = "istio-operator")]
    identity: String,
    /// Reconcile only the IstioOperators of this namespace; all when empty.
    #[arg(long, env = "WATCH_NAMESPACE", default_value = "")]
    watch_namespace: String,
    /// Seconds that a component may take to become available before it is called failed.
    #[arg(long, default_value_t = 300)]
    readiness_timeout: u64,
    /// Seconds between two looks at everything when nothing happens.
    #[arg(long, default_value_t = 600)]
    resync: u64,
    /// Address of /healthz and /readyz.
    #[arg(long, default_value = ":8080")]
    health_address: String,
    /// Address of /metrics.
    #[arg(long, default_value = ":8383")]
    metrics_address: String,
    /// Log level, in upstream's form.
    #[arg(long = "log_output_level", default_value = "default:info")]
    log_output_level: String,
    /// One JSON object per line of log.
    #[arg(long = "log_as_json")]
    log_as_json: bool,
}

/// Why the operator could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--log_output_level` is wrong.
    #[error(transparent)]
    Level(#[from] logging::InvalidLevel),
    /// No way to the API server.
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
    /// A port is taken.
    #[error("{address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Signals cannot be handled.
    #[error("handling signals: {0}")]
    Signals(std::io::Error),
    /// A task ended by itself.
    #[error("a task of the operator ended unexpectedly")]
    Ended,
}

/// Runs until a signal.
///
/// # Errors
/// When it cannot start. What fails later is retried and told in logs and status.
pub async fn run(args: Operator) -> Result<(), Error> {
    let format = match args.log_as_json {
        true => Format::Json,
        false => Format::Text,
    };
    logging::init(&args.log_output_level, format)?;
    let client = kubernetes::client(args.kubeconfig.as_deref()).await?;
    let shutdown = Shutdown::new();
    let mut registry = metrics::registry("operator");
    let counters = Metrics::registered(&mut registry, VERSION);
    let readiness = Readiness::new();

    let mut tasks = JoinSet::new();
    for (address, router) in [
        (
            &args.health_address,
            serve::health::router(readiness.clone()),
        ),
        (&args.metrics_address, metrics::router(registry.into())),
    ] {
        let listener = http::bind(address).await.map_err(|source| Error::Listen {
            address: address.clone(),
            source,
        })?;
        let plain = Transport::Plaintext;
        tasks.spawn(http::serve(
            listener,
            plain,
            router,
            Limits::default(),
            shutdown.clone(),
        ));
    }
    let candidate = Candidate {
        namespace: args.namespace.clone(),
        lease: base::names::OPERATOR_LEASE.to_owned(),
        identity: args.identity.clone(),
    };
    let (leadership, standing) = leader::stand(client.clone(), candidate, shutdown.clone());
    tasks.spawn(async { standing.await.expect("an election does not panic") });
    let (plans, planned) = watch::channel(None);
    tasks.spawn(keep_ca(
        client.clone(),
        args.identity.clone(),
        planned,
        shutdown.clone(),
    ));
    let settings = Settings {
        hub: args.hub,
        tag: args.tag,
        version: VERSION.to_owned(),
        readiness_timeout: Duration::from_secs(args.readiness_timeout),
        resync: Duration::from_secs(args.resync),
        watch_namespace: args.watch_namespace,
        identity: args.identity,
    };
    let leading = Leading {
        client,
        settings,
        counters,
        plans,
        leadership,
    };
    tasks.spawn(lead(leading, shutdown.clone()));

    let ended = tokio::select! {
        signal = shutdown::signalled() => signal.map_err(Error::Signals),
        // No task ends by itself: one that did has panicked, and a new process does better.
        _ = tasks.join_next() => Err(Error::Ended),
    };
    shutdown.cancel();
    while tasks.join_next().await.is_some() {}
    tracing::info!(signal = ended.as_ref().copied().unwrap_or("none"), "ended");
    ended.map(|_| ())
}

struct Leading {
    client: Client,
    settings: Settings,
    counters: Metrics,
    plans: watch::Sender<Option<CaPlan>>,
    leadership: Leadership,
}

/// Reconciles while this process leads.
async fn lead(leading: Leading, shutdown: Shutdown) {
    let Leading {
        client,
        settings,
        counters,
        plans,
        mut leadership,
    } = leading;
    while !shutdown.is_cancelled() {
        let elected = async { leadership.wait_for(|leads| *leads).await.is_ok() };
        tokio::select! {
            () = shutdown.cancelled() => break,
            elected = elected => if !elected { break },
        }
        let mut term = leadership.clone();
        let end = async {
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = term.wait_for(|leads| !*leads) => {}
            }
        };
        let (client, settings) = (client.clone(), settings.clone());
        if let Err(error) =
            operator::run(client, settings, counters.clone(), plans.clone(), end).await
        {
            tracing::warn!(%error, "reconciliation could not begin, trying again");
            tokio::time::sleep(PAUSE).await;
        }
        plans.send_replace(None);
    }
}

/// Keeps the CA's objects as the latest plan says.
async fn keep_ca(
    client: Client,
    identity: String,
    mut plans: watch::Receiver<Option<CaPlan>>,
    shutdown: Shutdown,
) {
    while !shutdown.is_cancelled() {
        let plan = plans.borrow_and_update().clone();
        let running = plan.map(|plan| {
            let token = Shutdown::new();
            let settings = ca::Settings {
                client: client.clone(),
                namespace: plan.namespace,
                trust_domain: plan.trust_domain,
                identity: identity.clone(),
            };
            let (_root, task) = ca::run(settings, token.clone());
            (token, task)
        });
        let ended = tokio::select! {
            () = shutdown.cancelled() => true,
            changed = plans.changed() => changed.is_err(),
        };
        if let Some((token, task)) = running {
            token.cancel();
            let _ = task.await;
        }
        if ended {
            break;
        }
    }
}
