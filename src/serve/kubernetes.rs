//! The connection to the API server: the pod's own, or that of a kubeconfig which was named explicitly.
//! A KUBECONFIG in the environment is never used.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// For a TCP connection and its TLS handshake.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest silence on a connection: a little more than watches live, so that a lost peer is noticed.
const SILENCE: Duration = Duration::from_secs(295);

/// No connection can be configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not in a pod.
    #[error("not in a pod of a cluster and no --kubeconfig is given: {0}")]
    NotInCluster(#[from] InClusterError),
    /// The file is unreadable or incomplete.
    #[error("kubeconfig {path}: {source}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KubeconfigError,
    },
    /// The client cannot be built from it.
    #[error("the API server's address or credentials cannot be used: {0}")]
    Client(#[from] kube::Error),
}

/// A client for the cluster that `kubeconfig` names, or for the one that this pod runs in.
///
/// # Errors
/// [`Error`]; whether the API server answers is not tried.
pub async fn client(kubeconfig: Option<&Path>) -> Result<Client, Error> {
    let mut config = match kubeconfig {
        None => Config::incluster()?,
        Some(path) => {
            let failed = |source| Error::Kubeconfig {
                path: path.to_owned(),
                source,
            };
            let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .map_err(failed)?
        }
    };
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    Ok(Client::try_from(config)?)
}
