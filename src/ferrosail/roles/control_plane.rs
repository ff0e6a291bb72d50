//! The control plane: the CA's life, webhooks, the engine and the ports of all, connected. Roles host it:
//! `discovery` alone in its process, `operator` beside its own services. What each part does is its own crate's
//! business, and who hosts them makes no difference to it.

mod authority;
pub mod engine;
mod options;
pub mod proxies;
mod status;
mod trust_domain;
mod webhooks;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use kube::Client;
use serve::health::Readiness;
use serve::http::path::with_simple_paths;
use serve::http::{self, Limits, Transport};
use serve::metrics::Registry;
use serve::{Shutdown, health, metrics};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{error, info};

use super::services::Services;
pub use options::Discovery;
pub use proxies::MAX_REQUEST;

/// Of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Between being unready and closing ports, so that load balancers and the API server look elsewhere first.
const LAG: Duration = Duration::from_secs(2);

/// Why a control plane cannot start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag or variable has a value that is not supported.
    #[error("{0}")]
    Option(String),
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
    /// A service ended by itself.
    #[error("{0} ended unexpectedly")]
    Ended(String),
}

/// The ports, bound before anything else is done: a taken one ends an attempt before it had an effect.
pub struct Ports {
    readiness: TcpListener,
    monitoring: TcpListener,
    webhooks: TcpListener,
    xds: TcpListener,
    plaintext_xds: TcpListener,
}

impl Ports {
    /// Binds all of them.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub async fn bind(options: &Discovery) -> Result<Ports, Error> {
        Ok(Ports {
            readiness: bind("--httpAddr", &options.http_addr).await?,
            monitoring: bind("--monitoringAddr", &options.monitoring_addr).await?,
            webhooks: bind("--httpsAddr", &options.https_addr).await?,
            xds: bind("--secureGRPCAddr", &options.secure_grpc_addr).await?,
            plaintext_xds: bind("--grpcAddr", &options.grpc_addr).await?,
        })
    }
}

/// Binds the address that `flag` has.
///
/// # Errors
/// [`Error::Listen`].
pub async fn bind(flag: &'static str, address: &str) -> Result<TcpListener, Error> {
    http::bind(address).await.map_err(|source| Error::Listen {
        flag,
        address: address.to_owned(),
        source,
    })
}

/// A control plane that runs.
pub struct ControlPlane {
    /// Whether it serves.
    pub readiness: Readiness,
    /// How its CA is.
    pub ca: watch::Receiver<ca::Health>,
    pub(super) running: Running,
}

/// What is needed to end it.
pub struct Running {
    pub(super) services: Services,
    pub(super) shutdown: Shutdown,
    /// For open streams to end.
    pub(super) grace: Duration,
}

/// What every part is made with.
struct Parts<'a> {
    options: &'a Discovery,
    client: &'a Client,
    identity: String,
    trust_domain: String,
    readiness: &'a Readiness,
    shutdown: &'a Shutdown,
    services: &'a mut Services,
    registry: &'a mut Registry,
}

/// Starts it. The trust domain is read from the mesh configuration in the cluster when `trust_domain` is not known.
pub async fn start(
    options: &Discovery,
    client: &Client,
    trust_domain: Option<String>,
    ports: Ports,
) -> ControlPlane {
    let revision = options.revision();
    info!(version = VERSION, revision, "the control plane starts");
    let readiness = Readiness::new();
    let shutdown = Shutdown::new();
    let mut services = Services::default();
    let mut registry = metrics::registry("pilot");
    register_uptime(&mut registry);
    let plain = |port, router: Router| {
        let limits = Limits::default();
        http::serve(port, Transport::Plaintext, router, limits, shutdown.clone())
    };
    // Answers probes while the rest waits for the API server.
    let starting = readiness.check("start", "the API server");
    let told = xds::debug::Late::default();
    let health = health::router(readiness.clone()).merge(xds::debug::router(told.clone()));
    let health = with_simple_paths(health);
    services.spawn("readiness server", plain(ports.readiness, health));

    let mut parts = Parts {
        options,
        client,
        identity: options.identity(),
        trust_domain: match trust_domain {
            Some(trust_domain) => trust_domain,
            None => trust_domain::read(client, options, &shutdown).await,
        },
        readiness: &readiness,
        shutdown: &shutdown,
        services: &mut services,
        registry: &mut registry,
    };
    let authority = authority::start(&mut parts);
    let templates = webhooks::start(&mut parts, &authority, ports.webhooks);
    proxies::start(
        &mut parts,
        &authority,
        (&told, templates),
        ports.xds,
        ports.plaintext_xds,
    );
    let monitoring = monitoring(registry).merge(xds::debug::router(told));
    let monitoring = with_simple_paths(monitoring);
    services.spawn("monitoring server", plain(ports.monitoring, monitoring));
    starting.pass();
    ControlPlane {
        readiness,
        ca: authority.health,
        running: Running {
            services,
            shutdown,
            grace: options.shutdown_duration(),
        },
    }
}

/// `/metrics` and `/version`.
pub fn monitoring(registry: Registry) -> Router {
    metrics::router(Arc::new(registry)).route("/version", get(|| async { VERSION }))
}

impl Running {
    /// Waits until it is `asked` to end, or for a service that ends by itself, and then ends everything
    /// gracefully; returns why it was asked.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub async fn until<T>(
        mut self,
        readiness: &Readiness,
        asked: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let ended = tokio::select! {
            why = asked => {
                info!("the control plane ends");
                readiness.check("shutdown", "the end");
                tokio::time::sleep(LAG).await;
                Ok(why)
            }
            name = self.services.first_to_end() => {
                error!("{name} ended unexpectedly, the control plane ends");
                readiness.check("shutdown", "the end");
                Err(Error::Ended(name))
            }
        };
        self.shutdown.cancel();
        self.services.end(self.grace).await;
        info!("the control plane ended");
        ended
    }
}

/// Registers how long ago this was called.
pub fn register_uptime(registry: &mut Registry) {
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
