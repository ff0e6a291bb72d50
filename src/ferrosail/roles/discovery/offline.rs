//! Discovery without a cluster: configuration from files, served in plaintext on the port without secrets.
//! There is no CA, no webhook and nobody to ask who a caller is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use proto::ads;
use serve::health::Readiness;
use serve::http::path::with_simple_paths;
use serve::http::{self, Limits, Transport};
use serve::{Shutdown, health, metrics, shutdown};
use source::MeshMap;
use tokio::sync::watch;
use tracing::info;
use xds::Access;

use super::{Discovery, Error};
use crate::roles::control_plane::engine::{self, Source};
use crate::roles::control_plane::{
    MAX_REQUEST, Running, VERSION, bind, monitoring, proxies, register_uptime,
};
use crate::roles::services::Services;

/// Runs until SIGTERM or SIGINT, then closes gracefully.
///
/// # Errors
/// [`Error`].
pub async fn run(options: Discovery, folder: PathBuf) -> Result<(), Error> {
    info!(folder = %folder.display(), "configuration comes from files, no cluster is used");
    let readiness = Readiness::new();
    let shutdown = Shutdown::new();
    let mut services = Services::default();
    let health_port = bind("--httpAddr", &options.http_addr).await?;
    let monitoring_port = bind("--monitoringAddr", &options.monitoring_addr).await?;
    let xds_port = bind("--grpcAddr", &options.grpc_addr).await?;

    let mut registry = metrics::registry("pilot");
    let xds_metrics = xds::Metrics::register(&mut registry);
    register_uptime(&mut registry);
    let settings = engine::Settings {
        source: Source::Files(folder),
        mesh_map: MeshMap::of_revision(&options.namespace, options.revision()),
        domain: options.domain.clone(),
        features: options.features.clone(),
        metrics: engine::Metrics::register(&mut registry),
        keys: options.keys(),
    };
    let loaded = readiness.check("configuration", "the files of the folder");
    let engine = engine::start(settings, &mut services, loaded, &shutdown);
    let debug = xds::Debug {
        connections: xds::Connections::default(),
        meshes: engine.meshes,
        worlds: engine.worlds,
        authenticate: None,
        system_namespace: options.namespace.clone(),
        cluster: options.cluster_id.clone(),
        // No injection is done here.
        written: proxies::written(engine.texts, watch::channel(BTreeMap::new()).1),
    };
    let told = xds::debug::Late::default();
    let _ = told.set(debug.clone());
    let server = xds::Server {
        access: Access::Anonymous,
        control_plane: options.control_plane(&options.identity(), VERSION),
        push: engine.push,
        metrics: xds_metrics,
        debug,
        shutdown: shutdown.clone(),
    };
    let xds = ads::routes(Arc::new(server), MAX_REQUEST).into_axum_router();
    let monitoring = monitoring(registry).merge(xds::debug::router(told.clone()));
    let monitoring = with_simple_paths(monitoring);
    let health = health::router(readiness.clone()).merge(xds::debug::router(told));
    let health = with_simple_paths(health);
    for (name, port, router, limits) in [
        ("readiness server", health_port, health, Limits::default()),
        ("plaintext xDS server", xds_port, xds, options.limits()),
        (
            "monitoring server",
            monitoring_port,
            monitoring,
            Limits::default(),
        ),
    ] {
        let ends = shutdown.clone();
        services.spawn(
            name,
            http::serve(port, Transport::Plaintext, router, limits, ends),
        );
    }
    let running = Running {
        services,
        shutdown,
        grace: options.shutdown_duration(),
    };
    let signal = running.until(&readiness, shutdown::signalled()).await?;
    info!(signal = signal.map_err(Error::Signal)?, "discovery ended");
    Ok(())
}
