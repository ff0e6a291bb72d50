//! The command line and environment of `pilot-discovery discovery`. Flags of upstream that change nothing here are
//! taken and named in the log; those that would change what is served, and are not supported, are errors.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use api::features::Features;
use ca::issue::Lifetimes;
use jiff::SignedDuration;
use serve::http::Limits;
use serve::logging::Format;
use source::jwks::{Blocked, Pace};
use tracing::warn;

use super::Error;
use super::engine::KeyFetching;

/// Serve configuration, webhooks and certificates to the mesh.
#[derive(Clone, Debug, clap::Args)]
pub struct Discovery {
    /// Address of readiness and debug HTTP.
    #[arg(long = "httpAddr", default_value = ":8080")]
    pub http_addr: String,
    /// Address of the webhooks.
    #[arg(long = "httpsAddr", default_value = ":15017")]
    pub https_addr: String,
    /// Address of xDS in plaintext, without secrets.
    #[arg(long = "grpcAddr", default_value = ":15010")]
    pub grpc_addr: String,
    /// Address of xDS over TLS.
    #[arg(long = "secureGRPCAddr", default_value = ":15012")]
    pub secure_grpc_addr: String,
    /// Address of metrics and version.
    #[arg(long = "monitoringAddr", default_value = ":15014")]
    pub monitoring_addr: String,
    /// DNS domain of the cluster.
    #[arg(long, default_value = "cluster.local")]
    pub domain: String,
    /// Kubeconfig file, for running outside of the cluster.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Folder of YAML files to take configuration from instead of a cluster, followed while it runs.
    #[arg(
        long = "config-dir",
        alias = "configDir",
        conflicts_with = "kubeconfig"
    )]
    pub config_dir: Option<PathBuf>,
    /// Root namespace of the mesh.
    #[arg(
        short = 'n',
        long,
        env = "POD_NAMESPACE",
        default_value = "istio-system"
    )]
    pub namespace: String,
    /// Log levels, `[<scope>:]<level>` separated by commas.
    #[arg(long = "log_output_level", default_value = "default:info")]
    pub log_output_level: String,
    /// One JSON object per log line.
    #[arg(long = "log_as_json", num_args = 0..=1, default_value_t = false, default_missing_value = "true")]
    pub log_as_json: bool,
    /// Time between pings on idle connections.
    #[arg(long = "keepaliveInterval", default_value = "30s")]
    pub keepalive_interval: SignedDuration,
    /// Time for the answer to a ping.
    #[arg(long = "keepaliveTimeout", default_value = "10s")]
    pub keepalive_timeout: SignedDuration,
    /// Age at which a connection is asked to end; unlimited when absent.
    #[arg(long = "keepaliveMaxServerConnectionAge")]
    pub max_connection_age: Option<SignedDuration>,
    /// Time for open streams to end on shutdown.
    #[arg(long = "shutdownDuration", default_value = "10s")]
    pub shutdown_duration: SignedDuration,
    /// Name of this cluster.
    #[arg(long = "clusterID", env = "CLUSTER_ID", default_value = "Kubernetes")]
    pub cluster_id: String,
    /// Revision of this control plane.
    #[arg(long, env = "REVISION", default_value = "default", hide = true)]
    pub revision: String,
    /// Name of this process among the replicas.
    #[arg(long, env = "POD_NAME", hide = true)]
    pub pod_name: Option<String>,
    /// Further host names of the serving certificate.
    #[arg(long, env = "ISTIOD_CUSTOM_HOST", value_delimiter = ',', hide = true)]
    pub custom_hosts: Vec<String>,
    /// Name of a policy such as fips-140-3 that injected proxies obey.
    #[arg(long, env = "COMPLIANCE_POLICY", default_value = "", hide = true)]
    pub compliance_policy: String,
    /// Audiences of tokens that are accepted.
    #[arg(
        long,
        env = "TOKEN_AUDIENCES",
        value_delimiter = ',',
        default_value = "istio-ca",
        hide = true
    )]
    pub token_audiences: Vec<String>,
    /// Whether a proxy's node must be of the namespace and service account of its caller.
    #[arg(
        long,
        env = "PILOT_ENABLE_XDS_IDENTITY_CHECK",
        default_value_t = true,
        action = clap::ArgAction::Set,
        hide = true
    )]
    pub xds_identity_check: bool,
    /// Who signs the serving certificate.
    #[arg(
        long,
        env = "PILOT_CERT_PROVIDER",
        default_value = "istiod",
        hide = true
    )]
    pub cert_provider: String,
    /// Lifetime of workloads' certificates for those who ask for none.
    #[arg(
        long,
        env = "DEFAULT_WORKLOAD_CERT_TTL",
        default_value = "24h",
        hide = true
    )]
    pub default_workload_cert_ttl: SignedDuration,
    /// Longest lifetime that workloads may ask for.
    #[arg(
        long,
        env = "MAX_WORKLOAD_CERT_TTL",
        default_value = "2160h",
        hide = true
    )]
    pub max_workload_cert_ttl: SignedDuration,
    /// Switches of the environment that change what proxies get.
    #[arg(skip)]
    pub features: Features,
    /// Between two fetches of the keys of an issuer of tokens.
    #[arg(
        long,
        env = "PILOT_JWT_PUB_KEY_REFRESH_INTERVAL",
        default_value = "20m",
        hide = true
    )]
    pub key_refresh_interval: SignedDuration,
    /// Ranges of addresses that keys are not fetched from.
    #[arg(
        long,
        env = "BLOCKED_CIDRS_IN_JWKS_URIS",
        default_value = "",
        value_parser = Blocked::parse,
        hide = true
    )]
    pub blocked_key_hosts: Blocked,
    #[command(flatten)]
    without_effect: WithoutEffect,
}

/// Flags of upstream's command that have no effect here.
#[derive(Clone, Debug, Default, clap::Args)]
struct WithoutEffect {
    #[arg(long = "clusterAliases", hide = true)]
    cluster_aliases: Option<String>,
    #[arg(long = "clusterRegistriesNamespace", hide = true)]
    cluster_registries_namespace: Option<String>,
    #[arg(long = "ctrlz_address", hide = true)]
    ctrlz_address: Option<String>,
    #[arg(long = "ctrlz_port", hide = true)]
    ctrlz_port: Option<String>,
    #[arg(long = "kubernetesApiBurst", hide = true)]
    kubernetes_api_burst: Option<String>,
    #[arg(long = "kubernetesApiQPS", hide = true)]
    kubernetes_api_qps: Option<String>,
    #[arg(long = "log_caller", hide = true)]
    log_caller: Option<String>,
    #[arg(long = "log_stacktrace_level", hide = true)]
    log_stacktrace_level: Option<String>,
    #[arg(long = "log_target", hide = true)]
    log_target: Option<String>,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", hide = true)]
    profile: Option<String>,
    #[arg(long, hide = true)]
    registries: Option<String>,
    #[arg(long, hide = true)]
    resync: Option<String>,
    #[arg(long, hide = true)]
    vklog: Option<String>,
}

impl WithoutEffect {
    fn given(&self) -> impl Iterator<Item = &'static str> {
        [
            ("--clusterAliases", &self.cluster_aliases),
            (
                "--clusterRegistriesNamespace",
                &self.cluster_registries_namespace,
            ),
            ("--ctrlz_address", &self.ctrlz_address),
            ("--ctrlz_port", &self.ctrlz_port),
            ("--kubernetesApiBurst", &self.kubernetes_api_burst),
            ("--kubernetesApiQPS", &self.kubernetes_api_qps),
            ("--log_caller", &self.log_caller),
            ("--log_stacktrace_level", &self.log_stacktrace_level),
            ("--log_target", &self.log_target),
            ("--profile", &self.profile),
            ("--registries", &self.registries),
            ("--resync", &self.resync),
            ("--vklog", &self.vklog),
        ]
        .into_iter()
        .filter_map(|(flag, value)| value.is_some().then_some(flag))
    }
}

impl Discovery {
    /// Reads the switches of this process's environment, and those of `more`, which count for more.
    pub fn switch(&mut self, more: &BTreeMap<String, String>) {
        let own = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let mut all: BTreeMap<String, String> = own.collect();
        all.extend(more.clone());
        let pairs = all.iter().map(|(name, value)| (&**name, &**value));
        self.features = Features::read(pairs);
    }

    /// Refuses what would be served differently than asked for, and names what has no effect.
    pub fn check(&self) -> Result<(), Error> {
        if self.cert_provider != "istiod" {
            return Err(Error::Option(format!(
                "PILOT_CERT_PROVIDER {:?} is not supported, expected istiod",
                self.cert_provider
            )));
        }
        for (flag, duration) in [
            ("--keepaliveInterval", Some(self.keepalive_interval)),
            ("--keepaliveTimeout", Some(self.keepalive_timeout)),
            ("--keepaliveMaxServerConnectionAge", self.max_connection_age),
            ("--shutdownDuration", Some(self.shutdown_duration)),
            (
                "DEFAULT_WORKLOAD_CERT_TTL",
                Some(self.default_workload_cert_ttl),
            ),
            ("MAX_WORKLOAD_CERT_TTL", Some(self.max_workload_cert_ttl)),
            (
                "PILOT_JWT_PUB_KEY_REFRESH_INTERVAL",
                Some(self.key_refresh_interval),
            ),
        ] {
            if duration.is_some_and(|duration| !duration.is_positive()) {
                return Err(Error::Option(format!("{flag}: expected more than 0s")));
            }
        }
        for flag in self.without_effect.given() {
            warn!("{flag} has no effect");
        }
        Ok(())
    }

    /// How keys of issuers of tokens are fetched.
    pub fn keys(&self) -> KeyFetching {
        let pace = Pace::default();
        KeyFetching {
            blocked: self.blocked_key_hosts.clone(),
            pace: Pace {
                refresh: self.key_refresh_interval.unsigned_abs(),
                ..pace
            },
        }
    }

    /// `default` when none is set.
    pub fn revision(&self) -> &str {
        match self.revision.as_str() {
            "" => "default",
            revision => revision,
        }
    }

    /// Unique among the processes of this mesh; another one at each call when there is no pod name.
    pub fn identity(&self) -> String {
        let pod = self.pod_name.clone().filter(|name| !name.is_empty());
        pod.unwrap_or_else(|| format!("istiod-{}-{}", std::process::id(), fastrand::u32(..)))
    }

    /// DNS names of the serving certificate.
    pub fn hosts(&self) -> Vec<String> {
        pki::control_plane_hosts(&self.namespace, self.revision(), &self.custom_hosts)
    }

    /// Text or JSON.
    pub fn log_format(&self) -> Format {
        if self.log_as_json {
            Format::Json
        } else {
            Format::Text
        }
    }

    /// Of workloads' certificates.
    pub fn lifetimes(&self) -> Lifetimes {
        let whole = |duration: SignedDuration| time::Duration::seconds(duration.as_secs());
        Lifetimes {
            default: whole(self.default_workload_cert_ttl),
            longest: whole(self.max_workload_cert_ttl),
        }
    }

    /// Of xDS connections.
    pub fn limits(&self) -> Limits {
        Limits {
            keepalive_interval: self.keepalive_interval.unsigned_abs(),
            keepalive_timeout: self.keepalive_timeout.unsigned_abs(),
            max_connection_age: self.max_connection_age.map(|age| age.unsigned_abs()),
            grace: self.shutdown_duration(),
            ..Limits::default()
        }
    }

    /// For open streams to end.
    pub fn shutdown_duration(&self) -> Duration {
        self.shutdown_duration.unsigned_abs()
    }

    /// What proxies are told about who serves them; upstream's JSON, which its tools read.
    pub fn control_plane(&self, identity: &str, version: &str) -> String {
        serde_json::json!({
            "Component": "istiod",
            "ID": identity,
            "Info": {"version": version, "revision": self.revision()},
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::Discovery;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        discovery: Discovery,
    }

    fn parse(line: &str) -> Result<Discovery, clap::Error> {
        let words = std::iter::once("discovery").chain(line.split_whitespace());
        Command::try_parse_from(words).map(|command| command.discovery)
    }

    #[test]
    fn takes_the_command_line_of_upstreams_deployment() {
        let options = parse(
            "--monitoringAddr=:15014 --log_output_level=default:info --domain cluster.local \
             --keepaliveMaxServerConnectionAge 30m",
        )
        .expect("upstream's arguments");
        assert!(options.check().is_ok());
        let limits = options.limits();
        assert_eq!(limits.max_connection_age, Some(Duration::from_secs(1800)));
        assert_eq!(options.secure_grpc_addr, ":15012");
        assert!(
            options
                .hosts()
                .contains(&"istiod.istio-system.svc".to_owned())
        );
    }

    #[test]
    fn takes_flags_that_have_no_effect() {
        let line = "--ctrlz_port 9876 --profile=false --registries=Kubernetes --log_target stdout";
        let options = parse(line).expect("upstream's flags");
        let given: Vec<_> = options.without_effect.given().collect();
        assert_eq!(
            given,
            ["--ctrlz_port", "--log_target", "--profile", "--registries"]
        );
    }

    #[test]
    fn takes_its_configuration_from_a_folder_or_a_cluster() {
        for flag in ["--config-dir", "--configDir"] {
            let options = parse(&format!("{flag} ./mesh")).expect("a folder");
            assert_eq!(
                options.config_dir.as_deref(),
                Some(std::path::Path::new("./mesh"))
            );
        }
        assert!(parse("--config-dir ./mesh --kubeconfig ./kubeconfig").is_err());
    }

    #[test]
    fn refuses_flags_that_it_cannot_honour() {
        for line in [
            "--tlsCertFile x",
            "--tls-min-version TLSV1_3",
            "--caCertFile x",
            "--nonsense",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn refuses_values_that_it_cannot_honour() {
        assert!(
            parse("--cert-provider kubernetes")
                .expect("a value")
                .check()
                .is_err()
        );
        assert!(
            parse("--keepaliveInterval 0s")
                .expect("a duration")
                .check()
                .is_err()
        );
        assert!(parse("--keepaliveInterval soon").is_err());
    }
}
