//! `pilot-agent proxy sidecar|router`: puts the parts together, starts Envoy and ends with it.
//! Envoy is never restarted here: the container is.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use bootstrap::{Addresses, Facts, ProxyConfig, ProxyType};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, UnixListener};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::Local;
use crate::app_metrics::AppMetrics;
use crate::app_probe::AppProbes;
use crate::arguments::{Arguments, InvalidFlag};
use crate::config::{self, InvalidConfig, Sources};
use crate::control_plane::{ControlPlane, stream_headers};
use crate::drain::{Drain, Keep};
use crate::health::Status;
use crate::metrics::Metrics;
use crate::own_certificate::OwnCertificate;
use crate::readiness::Readiness;
use crate::workload_cert::{Unsupported, Workload};
use crate::{ads, envoy, health, listener, node, resident, sds, workload_cert};

const MESH_CONFIG: &str = "./etc/istio/config/mesh";
const ROOT_CERT: &str = "./var/run/secrets/istio/root-cert.pem";
const TOKEN: &str = "./var/run/secrets/tokens/istio-token";

/// The proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// A flag has a wrong value.
    #[error(transparent)]
    Flag(#[from] InvalidFlag),
    /// The second word names no type of proxy.
    #[error("{0}")]
    ProxyType(String),
    /// A source of settings cannot be used.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// A file cannot be read or written.
    #[error("cannot {action} {path}: {error}")]
    File {
        /// `read`, `write`, `listen at` or `start`.
        action: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The status port is taken.
    #[error("cannot listen on port {port}: {error}")]
    Port {
        /// `statusPort`.
        port: u16,
        /// Why.
        error: io::Error,
    },
    /// Signals or processes.
    #[error("cannot watch over envoy: {0}")]
    Process(io::Error),
}

/// Runs one proxy to its end. The exit code is Envoy's, or success when the end was asked for.
pub async fn run(
    arguments: &Arguments,
    environment: BTreeMap<String, String>,
) -> Result<ExitCode, ProxyError> {
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!("pilot-agent {version}: {}", arguments.positional.join(" "));
    for flag in &arguments.ignored {
        tracing::warn!("{flag} has no effect");
    }
    raise_file_limit();

    let (facts, config) = settings(arguments, environment)?;
    let made = bootstrap::bootstrap(&facts, &config);
    for warning in &made.warnings {
        tracing::warn!("{warning}");
    }
    let file = if config.custom_config_file.is_empty() {
        let folder = Path::new(&config.config_path);
        envoy::write_bootstrap(&config.config_path, &made.json).map_err(failed("write", folder))?
    } else {
        PathBuf::from(&config.custom_config_file)
    };
    drop(made);

    // They listen before Envoy starts, so that neither its first stream nor a probe is refused.
    let socket = Path::new(&config.config_path).join("XDS");
    let streams = listener::at(&socket).map_err(failed("listen at", &socket))?;
    let addresses = Addresses::of(&facts.ips, facts.dual_stack);
    let probes = status_port(config.status_port, addresses).await?;

    let drain = drain(&facts, &config)?;
    let readiness = Arc::new(Readiness::new(
        drain.admin.clone(),
        config::duration(
            &facts.environment,
            "PROXY_READINESS_PROBE_TIMEOUT",
            Duration::from_secs(3),
        )?,
    ));
    let metrics = Arc::new(Metrics::default());
    let mut control_plane = control_plane(&facts, &config);
    let certificate = certificate(&facts, &control_plane)?;
    let (sender, secrets) = watch::channel(Arc::default());
    control_plane.own = certificate
        .is_some()
        .then(|| OwnCertificate::new(secrets.clone()));
    let status = Status {
        readiness: readiness.clone(),
        drain: drain.clone(),
        metrics: metrics.clone(),
        admin: drain.admin.clone(),
        probes: AppProbes::new(
            &facts.environment,
            facts.ips.first().copied(),
            config.status_port,
        )?,
        application: AppMetrics::new(&facts.environment, config.status_port)?,
    };
    let mut services = JoinSet::new();
    services.spawn(ads::serve(streams, control_plane.into(), metrics.clone()));
    if let Some((workload, socket)) = certificate {
        services.spawn(sds::serve(socket, secrets));
        services.spawn(workload_cert::keep(workload, sender, metrics.clone()));
    }
    services.spawn(resident::keep_small(metrics));
    services.spawn(health::serve(probes, Arc::new(status)));

    let options = envoy_options(arguments, &facts)?;
    let command = envoy::arguments(&file, &config, addresses, &options);
    tracing::info!(
        "envoy command: {} {}",
        config.binary_path,
        command.join(" ")
    );
    let child = envoy::start(&config.binary_path, &command)
        .map_err(failed("start", Path::new(&config.binary_path)))?;
    // What was needed to start is not kept for the life of the proxy.
    drop((facts, config, options, command));
    watch_over(child, services, &drain, &readiness).await
}

/// Waits for the end of Envoy or for the wish to end it.
async fn watch_over(
    mut envoy: Child,
    mut services: JoinSet<std::convert::Infallible>,
    drain: &Drain,
    readiness: &Readiness,
) -> Result<ExitCode, ProxyError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ProxyError::Process)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ProxyError::Process)?;
    tokio::select! {
        status = envoy.wait() => return Ok(exit_code(status.map_err(ProxyError::Process)?)),
        Some(Err(error)) = services.join_next() => {
            // Without its configuration stream and its probes a proxy is of no use.
            tracing::error!("the agent failed: {error}");
            envoy::stop(&mut envoy).await.map_err(ProxyError::Process)?;
            return Ok(ExitCode::FAILURE);
        }
        _ = terminate.recv() => tracing::info!("received SIGTERM"),
        _ = interrupt.recv() => tracing::info!("received SIGINT"),
        () = drain.quit_asked() => tracing::info!("the end was asked for at /quitquitquit"),
    }
    readiness.terminate();
    tokio::select! {
        status = envoy.wait() => return Ok(exit_code(status.map_err(ProxyError::Process)?)),
        () = drain.finish() => {}
    }
    let status = envoy::stop(&mut envoy).await.map_err(ProxyError::Process)?;
    tracing::info!("envoy ended: {status}");
    Ok(ExitCode::SUCCESS)
}

fn exit_code(status: ExitStatus) -> ExitCode {
    tracing::error!("envoy ended by itself: {status}");
    // As a shell says it: 128 and the signal's number.
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

fn settings(
    arguments: &Arguments,
    environment: BTreeMap<String, String>,
) -> Result<(Facts, ProxyConfig), ProxyError> {
    let proxy_type = match arguments.positional.get(1) {
        None => ProxyType::Sidecar,
        Some(word) => word
            .parse()
            .map_err(|error: bootstrap::NotAProxyType| ProxyError::ProxyType(error.to_string()))?,
    };
    let path = Path::new(arguments.value("meshConfig").unwrap_or(MESH_CONFIG));
    let mesh = match std::fs::read_to_string(path) {
        Ok(mesh) => Some(mesh),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("read", path)(error)),
    };
    let annotations = node::annotations();
    let config = config::proxy_config(&Sources {
        mesh: mesh.as_deref(),
        environment: &environment,
        annotations: &annotations,
        concurrency: arguments.number("concurrency")?.unwrap_or(0),
    })?;
    let asked = node::Asked {
        proxy_type,
        domain: arguments.value("domain").map(str::to_owned),
        outlier_log_path: arguments.value("outlierLogPath").map(str::to_owned),
    };
    Ok((node::facts(asked, environment, annotations)?, config))
}

fn control_plane(facts: &Facts, config: &ProxyConfig) -> ControlPlane {
    let variable = |name: &str| {
        let value = facts.environment.get(name).map_or("", String::as_str);
        (!value.is_empty()).then_some(value)
    };
    let cluster = variable("ISTIO_META_CLUSTER_ID").unwrap_or("Kubernetes");
    ControlPlane {
        address: config.discovery_address.clone(),
        name: variable("ISTIOD_SAN")
            .unwrap_or(config.discovery_name())
            .to_owned(),
        security: config.control_plane_auth_policy,
        root_cert: variable("XDS_ROOT_CA").unwrap_or(ROOT_CERT).into(),
        token: TOKEN.into(),
        own: None,
        headers: stream_headers(cluster, "XDS_HEADER_", facts.environment.iter()),
    }
}

/// Whom to certify, and the socket where Envoy asks for it; nothing where others do that or nobody can.
fn certificate(
    facts: &Facts,
    control_plane: &ControlPlane,
) -> Result<Option<(Workload, UnixListener)>, ProxyError> {
    let socket = Path::new(sds::SOCKET);
    match workload_cert::workload(facts, control_plane)? {
        Err(Unsupported(reason)) => {
            tracing::warn!("no certificate: {reason}");
            Ok(None)
        }
        Ok(workload) => match sds::listen(socket).map_err(failed("listen at", socket))? {
            Some(listener) => Ok(Some((workload, listener))),
            None => {
                tracing::info!("another program serves certificates at {}", sds::SOCKET);
                Ok(None)
            }
        },
    }
}

fn drain(facts: &Facts, config: &ProxyConfig) -> Result<Arc<Drain>, ProxyError> {
    let keep = if facts.exit_on_zero_active_connections {
        Keep::UntilIdle {
            at_least: config::duration(
                &facts.environment,
                "MINIMUM_DRAIN_DURATION",
                Duration::from_secs(5),
            )?,
        }
    } else {
        Keep::For(config.termination_drain_duration.0)
    };
    Ok(Drain::new(
        Local::port(config.proxy_admin_port),
        facts.proxy_type,
        keep,
        [facts.ports.status, facts.ports.prometheus],
    ))
}

fn envoy_options(arguments: &Arguments, facts: &Facts) -> Result<envoy::Options, ProxyError> {
    let flag = |name| arguments.value(name).map(str::to_owned);
    let layer = match facts.environment.get("ISTIO_BOOTSTRAP_OVERRIDE") {
        Some(file) if !file.is_empty() => {
            let text = std::fs::read_to_string(file).map_err(failed("read", Path::new(file)))?;
            let host = facts.environment.get("HOST_IP").map_or("", String::as_str);
            // In an address, IPv6 has brackets, whether the file has them already or not.
            Some(match host.contains(':') {
                true => text
                    .replace("[$(HOST_IP)]", "$(HOST_IP)")
                    .replace("$(HOST_IP)", &format!("[{host}]")),
                false => text.replace("$(HOST_IP)", host),
            })
        }
        _ => None,
    };
    Ok(envoy::Options {
        log_level: flag("proxyLogLevel").unwrap_or_else(|| "warning,misc:error".to_owned()),
        component_log_level: flag("proxyComponentLogLevel").unwrap_or_default(),
        skip_deprecated_logs: config::boolean(
            &facts.environment,
            "ENVOY_SKIP_DEPRECATED_LOGS",
            true,
        )?,
        bootstrap_override: layer,
    })
}

async fn status_port(port: u16, addresses: Addresses) -> Result<TcpListener, ProxyError> {
    let address: SocketAddr = match addresses {
        Addresses::V4 => (Ipv4Addr::UNSPECIFIED, port).into(),
        // The IPv6 wildcard takes IPv4 too.
        _ => (Ipv6Addr::UNSPECIFIED, port).into(),
    };
    TcpListener::bind(address)
        .await
        .map_err(|error| ProxyError::Port { port, error })
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ProxyError {
    let path = path.to_owned();
    move |error| ProxyError::File {
        action,
        path,
        error,
    }
}

/// Envoy inherits the limit, and has a descriptor or two for each connection.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!("the limit of open files cannot be raised: {error}");
    }
}
