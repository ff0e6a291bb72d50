//! The discovery role: xDS, webhooks and the CA's life, connected. What each does is its own crate's business.

mod engine;
mod mesh_config;
mod offline;
mod options;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use ca::Root;
use proto::{ads, certificates};
use serve::authenticate::TokenReviewer;
use serve::health::{Check, Readiness};
use serve::http::{self, Limits, Transport};
use serve::{Shutdown, health, kubernetes, logging, metrics, shutdown, tls};
use source::MeshMap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};
use webhook::ca_bundle;
use xds::Access;

use engine::Source;
pub use options::Discovery;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Largest xDS request that is read, in bytes (upstream: ISTIO_GPRC_MAXRECVMSGSIZE).
const MAX_REQUEST: usize = 4 * 1024 * 1024;
/// Between being unready and closing ports, so that load balancers and the API server look elsewhere first.
const LAG: Duration = Duration::from_secs(2);

/// Why the role could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag or variable has a value that is not supported.
    #[error("{0}")]
    Option(String),
    /// `--log_output_level`.
    #[error("--log_output_level: {0}")]
    Log(#[from] logging::InvalidLevel),
    /// No way to the API server.
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
    /// A port cannot be listened on.
    #[error("{flag} {address}: {source}")]
    Listen {
        /// The flag that names the address.
        flag: &'static str,
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Signals cannot be received.
    #[error("signal handler: {0}")]
    Signal(#[source] std::io::Error),
    /// A service ended by itself.
    #[error("{0} ended unexpectedly")]
    Ended(String),
}

/// Runs until SIGTERM or SIGINT, then closes gracefully.
///
/// # Errors
/// [`Error`].
pub async fn run(options: Discovery) -> Result<(), Error> {
    tls::install_provider();
    logging::init(&options.log_output_level, options.log_format())?;
    options.check()?;
    info!(
        version = VERSION,
        revision = options.revision(),
        "discovery starts"
    );
    if let Some(folder) = options.config_dir.clone() {
        return offline::run(options, folder).await;
    }

    let identity = options.identity();
    let readiness = Readiness::new();
    let shutdown = Shutdown::new();
    let mut services = Services::default();

    // Ports first: a taken one ends the process before it did anything.
    let health_port = bind("--httpAddr", &options.http_addr).await?;
    let monitoring_port = bind("--monitoringAddr", &options.monitoring_addr).await?;
    let webhook_port = bind("--httpsAddr", &options.https_addr).await?;
    let xds_plaintext_port = bind("--grpcAddr", &options.grpc_addr).await?;
    let xds_port = bind("--secureGRPCAddr", &options.secure_grpc_addr).await?;

    let client = kubernetes::client(options.kubeconfig.as_deref()).await?;
    let limits = options.limits();
    let plain = |port, router: Router, limits: Limits| {
        http::serve(port, Transport::Plaintext, router, limits, shutdown.clone())
    };
    services.spawn(
        "readiness server",
        plain(
            health_port,
            health::router(readiness.clone()),
            Limits::default(),
        ),
    );

    let ca_ready = readiness.check("ca", "a usable CA");
    let certificate_ready = readiness.check("serving certificate", "the CA");
    let webhooks_ready = readiness.check("webhooks", "their port");
    let xds_ready = readiness.check("xds", "its ports");

    // CA, and what follows from it.
    let trust_domain = mesh_config::trust_domain(&client, &options, &shutdown).await;
    let settings = ca::Settings {
        client: client.clone(),
        namespace: options.namespace.clone(),
        trust_domain: trust_domain.clone(),
        identity: identity.clone(),
    };
    let (root, ca_task) = ca::run(settings, shutdown.clone());
    services.join("ca", ca_task);
    services.spawn("ca readiness", pass_when_some(root.clone(), ca_ready));
    let (serving, serving_task) =
        ca::serving::serve(root.clone(), options.hosts(), shutdown.clone());
    services.join("serving certificate", serving_task);
    services.spawn(
        "serving certificate readiness",
        pass_when_some(serving.clone(), certificate_ready),
    );

    let mut registry = metrics::registry("pilot");
    let xds_metrics = xds::Metrics::register(&mut registry);
    let ca_metrics = ca::Metrics::register(&mut registry, root.clone());
    let ca_bundle_metrics = ca_bundle::Metrics::register(&mut registry);
    register_uptime(&mut registry);

    // Webhooks.
    let injection = webhook::settings::Objects {
        client: client.clone(),
        namespace: options.namespace.clone(),
        revision: options.revision().to_owned(),
    };
    let (follow, following) = webhook::settings::follow(injection, shutdown.clone());
    services.spawn("injection settings", following);
    let injector = webhook::Injector {
        follow: follow.clone(),
        revision: options.revision().to_owned(),
        compliance_policy: options.compliance_policy.clone(),
        metrics: webhook::Metrics::register(&mut registry),
    };
    let injection_ready = readiness.check("injection", "its settings");
    services.spawn(
        "injection readiness",
        pass_when_some(follow, injection_ready),
    );
    let encrypted = Transport::Tls(tls::server_config(serving));
    services.spawn(
        "webhook server",
        http::serve(
            webhook_port,
            encrypted.clone(),
            webhook::router(injector),
            Limits::default(),
            shutdown.clone(),
        ),
    );
    webhooks_ready.pass();
    let (roots, publishing) = roots_of(root.clone(), shutdown.clone());
    services.spawn("root publisher", publishing);
    services.spawn(
        "caBundle keeper",
        ca_bundle::keep(
            client.clone(),
            options.revision().to_owned(),
            roots,
            ca_bundle_metrics,
            shutdown.clone(),
        ),
    );

    // xDS: what proxies are to have, and the ports that they ask on.
    let settings = engine::Settings {
        source: Source::Cluster(client.clone()),
        mesh_map: MeshMap::of_revision(&options.namespace, options.revision()),
        domain: options.domain.clone(),
    };
    let loaded = readiness.check("configuration", "the API server's objects");
    let push = engine::start(settings, &mut services, loaded, &shutdown);
    let ads = |access| {
        let server = xds::Server {
            access,
            control_plane: options.control_plane(&identity, VERSION),
            push: push.clone(),
            metrics: xds_metrics.clone(),
            shutdown: shutdown.clone(),
        };
        ads::routes(Arc::new(server), MAX_REQUEST)
    };
    let reviewer = Arc::new(TokenReviewer {
        client,
        audiences: options.token_audiences.clone(),
        trust_domain,
    });
    let issuer = ca::server::Server {
        authenticate: reviewer.clone(),
        root: root.clone(),
        lifetimes: options.lifetimes(),
        metrics: ca_metrics,
    };
    let proven = certificates::add(
        ads(Access::Authenticated(reviewer)),
        Arc::new(issuer),
        MAX_REQUEST,
    );
    services.spawn(
        "xDS server",
        http::serve(
            xds_port,
            encrypted,
            proven.into_axum_router(),
            limits,
            shutdown.clone(),
        ),
    );
    services.spawn(
        "plaintext xDS server",
        plain(
            xds_plaintext_port,
            ads(Access::Anonymous).into_axum_router(),
            limits,
        ),
    );
    xds_ready.pass();

    let monitoring =
        metrics::router(Arc::new(registry)).route("/version", get(|| async { VERSION }));
    services.spawn(
        "monitoring server",
        plain(monitoring_port, monitoring, Limits::default()),
    );

    until_ended(services, readiness, shutdown, &options).await
}

/// Waits for a signal, or for a service that ends by itself, and then ends everything gracefully.
async fn until_ended(
    mut services: Services,
    readiness: Readiness,
    shutdown: Shutdown,
    options: &Discovery,
) -> Result<(), Error> {
    let ended = tokio::select! {
        signal = shutdown::signalled() => {
            info!(signal = signal.map_err(Error::Signal)?, "shutting down");
            readiness.check("shutdown", "the end");
            tokio::time::sleep(LAG).await;
            Ok(())
        }
        name = services.first_to_end() => {
            error!("{name} ended unexpectedly, shutting down");
            Err(Error::Ended(name))
        }
    };
    shutdown.cancel();
    services.end(options.shutdown_duration()).await;
    info!("discovery ended");
    ended
}

/// Everything that runs, by name. No service ends before shutdown unless it failed, except for those whose
/// name says `readiness` or `publisher`: they watch a value and end with its sender.
#[derive(Default)]
struct Services {
    running: JoinSet<&'static str>,
}

impl Services {
    fn spawn(&mut self, name: &'static str, service: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(async move {
            service.await;
            name
        });
    }

    fn join(&mut self, name: &'static str, task: tokio::task::JoinHandle<()>) {
        self.spawn(name, async move {
            if let Err(failed) = task.await {
                error!(%failed, "{name} failed");
            }
        });
    }

    async fn first_to_end(&mut self) -> String {
        match self.running.join_next().await {
            Some(Ok(name)) => name.to_owned(),
            Some(Err(failed)) => failed.to_string(),
            None => "everything".to_owned(),
        }
    }

    /// Waits for all, at most for `limit`.
    async fn end(mut self, limit: Duration) {
        let all = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all).await.is_err() {
            warn!(?limit, "some services did not end in time");
        }
    }
}

async fn bind(flag: &'static str, address: &str) -> Result<TcpListener, Error> {
    http::bind(address).await.map_err(|source| Error::Listen {
        flag,
        address: address.to_owned(),
        source,
    })
}

/// Passes `check` once there is a value; ends with the value's sender.
async fn pass_when_some<T: Send + Sync + 'static>(
    mut value: watch::Receiver<Option<T>>,
    check: Check,
) {
    if value.wait_for(Option::is_some).await.is_ok() {
        check.pass();
    }
    while value.changed().await.is_ok() {}
}

/// The PEM of the roots in force.
fn roots_of(
    mut root: watch::Receiver<Option<Arc<Root>>>,
    shutdown: Shutdown,
) -> (ca_bundle::Roots, impl Future<Output = ()>) {
    let (sender, roots) = watch::channel(None);
    let publish = async move {
        loop {
            let pem = root
                .borrow_and_update()
                .as_ref()
                .map(|root| Arc::from(root.roots_pem()));
            sender.send_if_modified(|known| {
                let differs = *known != pem;
                *known = pem;
                differs
            });
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = root.changed() => if changed.is_err() { return },
            }
        }
    };
    (roots, publish)
}

fn register_uptime(registry: &mut metrics::Registry) {
    #[derive(Debug)]
    struct Uptime(Instant);
    impl prometheus_client::collector::Collector for Uptime {
        fn encode(
            &self,
            mut encoder: prometheus_client::encoding::DescriptorEncoder<'_>,
        ) -> Result<(), std::fmt::Error> {
            let seconds =
                prometheus_client::metrics::gauge::ConstGauge::new(self.0.elapsed().as_secs_f64());
            let metric = encoder.encode_descriptor(
                "istiod_uptime_seconds",
                "Current istiod server uptime in seconds",
                None,
                prometheus_client::metrics::MetricType::Gauge,
            )?;
            prometheus_client::encoding::EncodeMetric::encode(&seconds, metric)
        }
    }
    registry.register_collector(Box::new(Uptime(Instant::now())));
}
