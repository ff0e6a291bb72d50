//! One proxy: the agent's binary with a real Envoy, in a folder that looks like a container's root.

use std::net::TcpListener as StdListener;
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, ExitStatus};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use agent::admin::Local;
use http::Method;
use tokio::process::{Child, Command};

const CASES: usize = 7;
const DEADLINE: Duration = Duration::from_secs(60);

/// One proxy in a folder that looks like a container's root.
pub struct Proxy {
    pub agent: Child,
    pub folder: PathBuf,
    pub discovery: u16,
    pub admin: u16,
    pub status: u16,
    pub ready: u16,
    pub prometheus: u16,
}

/// Ports that nobody listens at, below those that the kernel gives to connections: one of these could be a connection's
/// by the time that a server wants it. No two callers get the same one.
pub fn free_ports<const N: usize>() -> [u16; N] {
    const FIRST: u16 = 16_384;
    const OF_ONE_PROCESS: u16 = 500;
    static ASKED: AtomicU16 = AtomicU16::new(0);
    let block = u16::try_from(std::process::id() % 32).expect("below 32");
    std::array::from_fn(|_| {
        loop {
            let asked = ASKED.fetch_add(1, Ordering::Relaxed);
            assert!(asked < OF_ONE_PROCESS, "a process has that many ports");
            let port = FIRST + block * OF_ONE_PROCESS + asked;
            if StdListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    })
}

impl Proxy {
    pub fn start(name: &str, envoy: &Path, root_pem: &str) -> Proxy {
        Proxy::start_with(name, envoy, root_pem, &[], "")
    }

    /// With more variables, and something laid over the bootstrap.
    pub fn start_with(
        name: &str,
        envoy: &Path,
        root_pem: &str,
        environment: &[(&str, &str)],
        layer: &str,
    ) -> Proxy {
        let folder = std::env::temp_dir().join(format!("gateway-{name}-{}", std::process::id()));
        for part in [
            "etc/istio/config",
            "etc/istio/pod",
            "var/run/secrets/istio",
            "var/run/secrets/tokens",
        ] {
            std::fs::create_dir_all(folder.join(part)).expect("a folder");
        }
        let [discovery, admin, status, ready, prometheus] = free_ports();
        let write =
            |path: &str, text: &str| std::fs::write(folder.join(path), text).expect("writable");
        write(
            "etc/istio/pod/labels",
            "app=\"istio-ingressgateway\"\nistio=\"ingressgateway\"\n",
        );
        write("var/run/secrets/istio/root-cert.pem", root_pem);
        write("var/run/secrets/tokens/istio-token", "first-token");
        let binary = envoy.display();
        write(
            "etc/istio/config/mesh",
            &format!(
                "defaultConfig:\n  discoveryAddress: localhost:{discovery}\n  proxyAdminPort: {admin}\n  statusPort: {status}\n  binaryPath: {binary}\n  terminationDrainDuration: 1s\n"
            ),
        );
        write("layer.yaml", layer);
        let arguments = "proxy router --domain istio-system.svc.cluster.local --proxyLogLevel=warning --proxyComponentLogLevel=misc:error --log_output_level=default:info";
        let built = || env!("CARGO_BIN_EXE_pilot-agent").into();
        let agent = Command::new(std::env::var_os("PILOT_AGENT").unwrap_or_else(built))
            .args(arguments.split(' '))
            .current_dir(&folder)
            .env("POD_NAME", "gateway-0")
            .env("POD_NAMESPACE", "istio-system")
            .env("INSTANCE_IP", "127.0.0.1")
            .env("ISTIO_CPU_LIMIT", "1")
            .env("ISTIO_META_CLUSTER_ID", "Kubernetes")
            .env("ENVOY_STATUS_PORT", ready.to_string())
            .env("ENVOY_PROMETHEUS_PORT", prometheus.to_string())
            .env("SERVICE_ACCOUNT", "istio-ingressgateway")
            .envs(environment.iter().copied())
            .envs((!layer.is_empty()).then_some(("ISTIO_BOOTSTRAP_OVERRIDE", "layer.yaml")))
            .spawn()
            .expect("the agent starts");
        Proxy {
            agent,
            folder,
            discovery,
            admin,
            status,
            ready,
            prometheus,
        }
    }

    pub async fn readiness(&self, port: u16) -> Result<String, String> {
        get(port, "/healthz/ready").await
    }

    pub async fn becomes_ready(&self) {
        until("the gateway is ready", async || {
            self.readiness(self.ready).await.is_ok()
        })
        .await;
    }

    /// VmRSS in kB: everything resident, pages of the binary among it.
    pub fn resident(&self) -> u64 {
        let pid = self.agent.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).expect("kB")
    }

    pub fn signal(&self, name: &str) {
        let pid = self.agent.id().expect("it runs").to_string();
        let status = StdCommand::new("kill").args([name, &pid]).status();
        assert!(status.expect("kill runs").success());
    }

    pub async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(DEADLINE, self.agent.wait())
            .await
            .expect("it ends before the deadline")
            .expect("its status is known")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(pid) = self.agent.id() {
            // Lets it end its Envoy.
            let _ = StdCommand::new("kill")
                .args(["-TERM", &pid.to_string()])
                .status();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub async fn get(port: u16, path: &str) -> Result<String, String> {
    Local::port(port)
        .text(Method::GET, path, Duration::from_secs(3))
        .await
        .map_err(|error| error.to_string())
}

pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "it did not come true: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn envoy() -> Option<PathBuf> {
    let envoy = std::env::var_os("ENVOY").map(PathBuf::from);
    if envoy.is_none() {
        eprintln!(
            "NOT RUN: one of {CASES} cases with a real Envoy, since ENVOY does not name its binary"
        );
    }
    envoy
}
