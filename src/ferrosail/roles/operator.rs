//! The operator's role: leadership, reconciliation, the CA's keeper, health and metrics, connected, and the control
//! plane beside them where this process hosts one. What each does is its own crate's business.

mod hosting;
#[cfg(test)]
mod manifests;
mod turn;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use install::Host;
use kube::Client;
use operator::hosted::{HostedBy, Hosting};
use operator::{Ca, CaHealth, CaPlan, Metrics, Settings};
use serve::health::Readiness;
use serve::http::{self, Limits, Transport};
use serve::leader::{self, Candidate, Leadership};
use serve::logging::{self, Format};
use serve::{Shutdown, kubernetes, metrics, shutdown};
use tokio::sync::watch;

use super::control_plane::VERSION;
use super::services::Services;

/// For what is under way to end.
const GRACE: Duration = Duration::from_secs(30);
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
    /// Host the control plane in this process, for IstioOperators whose root namespace is that of the operator's
    /// own pods: there is no Deployment istiod then, and Services select the operator's pods.
    #[arg(long)]
    with_discovery: bool,
    /// Label by which Services find the operator's pods, with --with-discovery.
    #[arg(
        long,
        value_name = "KEY=VALUE",
        value_delimiter = ',',
        value_parser = label,
        default_value = "app.kubernetes.io/name=istio-operator"
    )]
    pod_labels: Vec<(String, String)>,
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
    #[error("a task of the operator ended unexpectedly: {0}")]
    Ended(String),
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is no label, expected KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
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
    let mut services = Services::default();
    let health = serve::health::router(readiness.clone());
    let metrics = metrics::router(registry.into());
    for (name, address, router) in [
        ("health server", &args.health_address, health),
        ("metrics server", &args.metrics_address, metrics),
    ] {
        let listener = http::bind(address).await.map_err(|source| Error::Listen {
            address: address.clone(),
            source,
        })?;
        let limits = Limits::default();
        let serving = http::serve(
            listener,
            Transport::Plaintext,
            router,
            limits,
            shutdown.clone(),
        );
        services.spawn(name, serving);
    }
    let candidate = Candidate {
        namespace: args.namespace.clone(),
        lease: base::names::OPERATOR_LEASE.to_owned(),
        identity: args.identity.clone(),
    };
    let (leadership, standing) = leader::stand(client.clone(), candidate, shutdown.clone());
    services.join("election", standing);
    let settings = Settings {
        hub: args.hub,
        tag: args.tag,
        version: VERSION.to_owned(),
        readiness_timeout: Duration::from_secs(args.readiness_timeout),
        resync: Duration::from_secs(args.resync),
        watch_namespace: args.watch_namespace,
        identity: args.identity.clone(),
    };

    let (told, ca_health) = watch::channel(CaHealth::default());
    let told = Arc::new(told);
    let hosted_by = args.with_discovery.then(|| {
        let needs = hosting::Needs {
            client: client.clone(),
            settings: settings.clone(),
            namespace: args.namespace.clone(),
            host: Host {
                labels: args.pod_labels.iter().cloned().collect(),
            },
            readiness: readiness.clone(),
            ca_health: told.clone(),
        };
        hosting::start(needs, &mut services, &shutdown)
    });
    let (plans, planned) = watch::channel(None);
    let keeping = Keeping {
        client: client.clone(),
        identity: args.identity,
        plans: planned,
        hosts: match &hosted_by {
            Some(host) => {
                let hosts = |hosting: &Hosting| hosting.plan().is_some();
                services.publish("hosting publisher", host.hosting.clone(), hosts, &shutdown)
            }
            None => watch::channel(false).1,
        },
        health: told,
    };
    services.spawn("ca", keep_ca(keeping, shutdown.clone()));
    let leading = Leading {
        client,
        settings,
        counters,
        plans,
        ca_health,
        leadership,
        hosted_by,
    };
    services.spawn("reconciliation", lead(leading, shutdown.clone()));

    let ended = tokio::select! {
        signal = shutdown::signalled() => signal.map_err(Error::Signals),
        // No task ends by itself: one that did has panicked, and a new process does better.
        name = services.first_to_end() => Err(Error::Ended(name)),
    };
    shutdown.cancel();
    services.end(GRACE).await;
    tracing::info!(signal = ended.as_ref().copied().unwrap_or("none"), "ended");
    ended.map(|_| ())
}

struct Leading {
    client: Client,
    settings: Settings,
    counters: Metrics,
    plans: watch::Sender<Option<CaPlan>>,
    ca_health: watch::Receiver<CaHealth>,
    leadership: Leadership,
    hosted_by: Option<HostedBy>,
}

/// Reconciles while this process leads.
async fn lead(leading: Leading, shutdown: Shutdown) {
    let Leading {
        client,
        settings,
        counters,
        plans,
        ca_health,
        mut leadership,
        hosted_by,
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
        let ca = Ca {
            plan: plans.clone(),
            health: ca_health.clone(),
        };
        let (counters, hosted_by) = (counters.clone(), hosted_by.clone());
        let ended = operator::run(client, settings, counters, ca, hosted_by, end);
        if let Err(error) = ended.await {
            tracing::warn!(%error, "reconciliation could not begin, trying again");
            tokio::time::sleep(PAUSE).await;
        }
        plans.send_replace(None);
    }
}

struct Keeping {
    client: Client,
    identity: String,
    plans: watch::Receiver<Option<CaPlan>>,
    /// Whether a control plane in this process keeps its CA itself.
    hosts: watch::Receiver<bool>,
    health: Arc<watch::Sender<CaHealth>>,
}

/// Keeps the CA's objects as the latest plan says, unless a control plane in this process does.
async fn keep_ca(keeping: Keeping, shutdown: Shutdown) {
    let Keeping {
        client,
        identity,
        mut plans,
        mut hosts,
        health,
    } = keeping;
    while !shutdown.is_cancelled() {
        let hosted = *hosts.borrow_and_update();
        let plan = plans.borrow_and_update().clone().filter(|_| !hosted);
        let token = Shutdown::new();
        let running = plan.map(|plan| {
            let settings = ca::Settings {
                client: client.clone(),
                namespace: plan.namespace,
                trust_domain: plan.trust_domain,
                identity: identity.clone(),
            };
            ca::run(settings, token.clone())
        });
        if running.is_none() && !hosted {
            health.send_replace(CaHealth::default());
        }
        let forwarding = async {
            match &running {
                Some(running) => forward(running.health.clone(), &health).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            () = shutdown.cancelled() => true,
            changed = plans.changed() => changed.is_err(),
            // Its sender may be gone where nothing is ever hosted.
            Ok(()) = hosts.changed() => false,
            never = forwarding => match never {},
        };
        if let Some(running) = running {
            token.cancel();
            let _ = running.task.await;
        }
        if ended {
            break;
        }
    }
}

/// Passes on how a CA is until that ends.
async fn forward(
    mut from: watch::Receiver<ca::Health>,
    to: &watch::Sender<CaHealth>,
) -> Infallible {
    loop {
        let ca::Health {
            authority,
            distribution,
        } = from.borrow_and_update().clone();
        to.send_replace(CaHealth {
            authority,
            distribution: distribution.map(|known| operator::Distribution {
                held: known.held,
                wanted: known.wanted,
                failing: known.failing,
            }),
        });
        if from.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
