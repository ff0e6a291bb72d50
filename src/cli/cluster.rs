//! The cluster that a verb works on: flags as istioctl's, the client, and the runtime that it needs.

pub(crate) mod forward;
pub(crate) mod pod;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// How long to wait for the API server to take a connection.
const CONNECT: Duration = Duration::from_secs(15);
/// Where the control plane is, unless told otherwise.
pub(crate) const ISTIO_NAMESPACE: &str = "istio-system";

/// Flags that say which cluster, and where in it.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Flags {
    /// Kubeconfig file; otherwise that of KUBECONFIG, then ~/.kube/config
    #[arg(long, short = 'c', value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME", global = true)]
    pub context: Option<String>,
    /// Namespace
    #[arg(long, short, value_name = "NAME", global = true)]
    pub namespace: Option<String>,
    /// Namespace of the control plane
    #[arg(
        long = "istioNamespace",
        short = 'i',
        value_name = "NAME",
        default_value = ISTIO_NAMESPACE,
        env = "ISTIO_NAMESPACE",
        hide_env = true,
        global = true
    )]
    pub istio_namespace: String,
}

/// A cluster, connected to.
pub(crate) struct Cluster {
    pub client: Client,
    /// Where names without a namespace are looked for.
    pub namespace: String,
    pub istio_namespace: String,
}

impl Flags {
    /// Runs `verb` on the cluster that the flags name.
    ///
    /// # Errors
    /// When there is no usable kubeconfig, or what `verb` says.
    pub fn run<T>(
        &self,
        verb: impl AsyncFnOnce(Cluster) -> Result<T, String>,
    ) -> Result<T, String> {
        // Another verb of this process may have installed it before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("the asynchronous runtime could not start: {error}"))?;
        runtime.block_on(async { verb(self.connect().await?).await })
    }

    async fn connect(&self) -> Result<Cluster, String> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = match &self.kubeconfig {
            Some(path) => {
                let wrong = |error| format!("kubeconfig {}: {error}", path.display());
                let file = Kubeconfig::read_from(path).map_err(wrong)?;
                Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(wrong)
            }
            None => match Config::from_kubeconfig(&options).await {
                Ok(config) => Ok(config),
                Err(error) => Config::incluster().map_err(|_| {
                    format!(
                        "no cluster: {error}; name a kubeconfig with --kubeconfig or KUBECONFIG"
                    )
                }),
            },
        };
        let mut config = config?;
        config.connect_timeout = Some(CONNECT);
        let in_config = config.default_namespace.clone();
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config)
            .map_err(|error| format!("the API server {server} cannot be used: {error}"))?;
        Ok(Cluster {
            client,
            namespace: self.namespace.clone().unwrap_or(in_config),
            istio_namespace: self.istio_namespace.clone(),
        })
    }
}

/// What the API server said, in one line.
pub(crate) fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => {
            let mut text = other.to_string();
            let mut cause = std::error::Error::source(other);
            while let Some(inner) = cause {
                let inner_text = inner.to_string();
                if !text.contains(&inner_text) {
                    text = format!("{text}: {inner_text}");
                }
                cause = inner.source();
            }
            text
        }
    }
}
