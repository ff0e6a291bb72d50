//! One Envoy with our bootstrap, in a folder that looks like a container's root and in a network of its own.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bootstrap::{Facts, Ports, ProxyConfig, ProxyType};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::worlds::Case;

/// For one page of the admin interface.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lines of its log that are shown, at most.
const LINES: usize = 30;

/// Whether networks can be made here.
pub fn has_networks() -> bool {
    let made = Command::new("unshare")
        .args(["--net", "ip", "link", "set", "lo", "up"])
        .stderr(Stdio::null())
        .status();
    made.is_ok_and(|status| status.success())
}

/// Everything that Envoy needs is there.
pub struct Prepared {
    pub folder: PathBuf,
    addresses: Vec<IpAddr>,
    bootstrap: Value,
}

/// Runs for as long as it is held.
pub struct Proxy {
    folder: PathBuf,
    envoy: Child,
}

impl Proxy {
    /// A folder and a bootstrap.
    ///
    /// # Errors
    /// When the node's metadata makes none.
    pub fn prepare(number: usize, case: &Case) -> Result<Prepared, String> {
        let what = case.name.chars().take(8);
        let what: String = what.filter(char::is_ascii_alphanumeric).collect();
        let name = format!("live-{}-{what}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        for part in ["etc/istio/proxy", "var/run/secrets/workload-spiffe-uds"] {
            std::fs::create_dir_all(folder.join(part)).map_err(|error| error.to_string())?;
        }
        Ok(Prepared {
            folder,
            addresses: case.proxy.addresses.clone(),
            bootstrap: bootstrap_of(case)?,
        })
    }

    /// A page of its admin interface.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn admin(&self, path: &str) -> Result<String, String> {
        let asked = async {
            let socket = UnixStream::connect(self.folder.join("admin")).await;
            let socket = TokioIo::new(socket.map_err(|error| error.to_string())?);
            let connected = hyper::client::conn::http1::handshake(socket).await;
            let (mut sender, connection) = connected.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            let request = http::Request::get(path).header("host", "admin");
            let request = request.body(Empty::<bytes::Bytes>::new());
            let answer = sender
                .send_request(request.map_err(|error| error.to_string())?)
                .await;
            let body = answer.map_err(|error| error.to_string())?.into_body();
            let body = body.collect().await.map_err(|error| error.to_string())?;
            Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answer) => answer.map_err(|error: String| format!("admin {path}: {error}")),
            Err(_) => Err(format!("admin {path}: no answer within {PATIENCE:?}")),
        }
    }

    /// The counters of refused updates that are not zero.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn refused(&self) -> Result<Vec<String>, String> {
        let counters = self.admin("/stats?filter=update_rejected").await?;
        let counters = counters.lines().filter(|line| !line.ends_with(": 0"));
        Ok(counters.map(str::to_owned).collect())
    }

    /// How it ended, when it did.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.envoy.try_wait().ok()??;
        Some(status.to_string())
    }

    /// The last lines of its log.
    pub fn said(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Prepared {
    /// Starts Envoy, with the proxy's addresses on its loopback.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn start(self, envoy: &Path) -> Result<Proxy, String> {
        let log = std::fs::File::create(self.folder.join("log"));
        let log = log.map_err(|error| error.to_string())?;
        let v6_only = self.addresses.iter().all(IpAddr::is_ipv6);
        let addresses = self.addresses.iter();
        let addresses = addresses.map(|address| format!("ip addr add {address} dev lo;"));
        let network: String = addresses.collect();
        // An address that is there already, or a family that the kernel lacks, is no reason to stop.
        let script = format!("ip link set lo up; {network} exec \"$@\"");
        let child = Command::new("unshare")
            .args(["--net", "sh", "-c", &script, "sh"])
            .arg(envoy)
            .args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"])
            .args([
                "--local-address-ip-version",
                if v6_only { "v6" } else { "v4" },
            ])
            .args(["--drain-time-s", "1", "--parent-shutdown-time-s", "2"])
            .arg("--config-yaml")
            .arg(self.bootstrap.to_string())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Ok(Proxy {
            envoy: child.map_err(|error| format!("{}: {error}", envoy.display()))?,
            folder: self.folder,
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.envoy.kill();
        let _ = self.envoy.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// As the agent writes it, but for the admin interface, which is a socket, and for the statistics, which are all
/// kept: refusals are read from them.
fn bootstrap_of(case: &Case) -> Result<Value, String> {
    let metadata = &case.node["metadata"];
    let config = ProxyConfig::merge(&[metadata["PROXY_CONFIG"].clone()]);
    let id = case.node["id"].as_str().unwrap_or_default();
    let kind = id.split('~').next().unwrap_or_default();
    let facts = Facts {
        proxy_type: kind
            .parse::<ProxyType>()
            .map_err(|error| error.to_string())?,
        ips: case.proxy.addresses.clone(),
        domain: case.proxy.dns_domain.clone(),
        environment: [].into(),
        labels: [].into(),
        annotations: [].into(),
        ports: Ports::default(),
        exit_on_zero_active_connections: false,
        dual_stack: case.dual_stack,
        delta: true,
        outlier_log_path: None,
    };
    let made = bootstrap::bootstrap(&facts, &config.map_err(|error| error.to_string())?);
    let mut json = made.json;
    json["node"]["id"] = case.node["id"].clone();
    json["node"]["cluster"] = case.proxy.node_cluster.clone().into();
    json["node"]["metadata"] = metadata.clone();
    json["node"]["locality"] = case.node["locality"].clone();
    json["admin"]["address"] = json!({"pipe": {"path": "./admin"}});
    json["stats_config"]["stats_matcher"] = json!({"reject_all": false});
    Ok(json)
}
