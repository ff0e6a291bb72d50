//! The discovery role: a control plane alone in its process.

mod offline;

use std::collections::BTreeMap;

use serve::{kubernetes, logging, shutdown, tls};
use tracing::info;

use super::control_plane::{self, ControlPlane, Ports};

pub use super::control_plane::Discovery;

/// Why the role could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The control plane.
    #[error(transparent)]
    ControlPlane(#[from] control_plane::Error),
    /// `--log_output_level`.
    #[error("--log_output_level: {0}")]
    Log(#[from] logging::InvalidLevel),
    /// No way to the API server.
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
    /// Signals cannot be received.
    #[error("signal handler: {0}")]
    Signal(#[source] std::io::Error),
}

/// Runs until SIGTERM or SIGINT, then closes gracefully.
///
/// # Errors
/// [`Error`].
pub async fn run(mut options: Discovery) -> Result<(), Error> {
    tls::install_provider();
    logging::init(&options.log_output_level, options.log_format())?;
    options.check()?;
    options.switch(&BTreeMap::new());
    if let Some(folder) = options.config_dir.clone() {
        return offline::run(options, folder).await;
    }
    let ports = Ports::bind(&options).await?;
    let client = kubernetes::client(options.kubeconfig.as_deref()).await?;
    let ControlPlane {
        running, readiness, ..
    } = control_plane::start(&options, &client, None, ports).await;
    let signal = running.until(&readiness, shutdown::signalled()).await?;
    info!(signal = signal.map_err(Error::Signal)?, "discovery ended");
    Ok(())
}
