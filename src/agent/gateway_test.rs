//! The binary with a real Envoy against a small control plane on loopback: ready only when the
//! control plane has answered, reconnecting when it returns, ending when it is told to.
//! The variable ENVOY names Envoy's binary; without it nothing here runs, and that is said.
//! PILOT_AGENT may name a release build, whose memory is then checked.

#[path = "gateway_test/control_plane.rs"]
mod control_plane;

use std::net::TcpListener as StdListener;
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, ExitStatus};
use std::time::{Duration, Instant};

use agent::admin::Local;
use http::Method;
use tokio::process::{Child, Command};

use control_plane::{ControlPlane, certificate};

const CASES: usize = 5;
const DEADLINE: Duration = Duration::from_secs(60);

/// One proxy in a folder that looks like a container's root.
struct Proxy {
    agent: Child,
    folder: PathBuf,
    discovery: u16,
    admin: u16,
    status: u16,
    ready: u16,
    prometheus: u16,
}

/// Ports that were free just now; each is asked of the kernel.
fn free_ports<const N: usize>() -> [u16; N] {
    let held: [StdListener; N] =
        std::array::from_fn(|_| StdListener::bind("127.0.0.1:0").expect("a port"));
    held.map(|listener| listener.local_addr().expect("bound").port())
}

impl Proxy {
    fn start(name: &str, envoy: &Path, root_pem: &str) -> Proxy {
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

    async fn readiness(&self, port: u16) -> Result<String, String> {
        get(port, "/healthz/ready").await
    }

    async fn becomes_ready(&self) {
        until("the gateway is ready", async || {
            self.readiness(self.ready).await.is_ok()
        })
        .await;
    }

    /// VmRSS in kB: everything resident, pages of the binary among it.
    fn resident(&self) -> u64 {
        let pid = self.agent.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).expect("kB")
    }

    fn signal(&self, name: &str) {
        let pid = self.agent.id().expect("it runs").to_string();
        let status = StdCommand::new("kill").args([name, &pid]).status();
        assert!(status.expect("kill runs").success());
    }

    async fn ended(&mut self) -> ExitStatus {
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

async fn get(port: u16, path: &str) -> Result<String, String> {
    Local::port(port)
        .text(Method::GET, path, Duration::from_secs(3))
        .await
        .map_err(|error| error.to_string())
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "it did not come true: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn envoy() -> Option<PathBuf> {
    let envoy = std::env::var_os("ENVOY").map(PathBuf::from);
    if envoy.is_none() {
        eprintln!(
            "NOT RUN: one of {CASES} cases with a real Envoy, since ENVOY does not name its binary"
        );
    }
    envoy
}

/// At rest: configured, and probed as kubelet probes.
async fn stays_small(proxy: &Proxy) {
    let mut probe = tokio::time::interval(Duration::from_secs(2));
    for _ in 0..8 {
        probe.tick().await;
        proxy.readiness(proxy.ready).await.expect("ready");
    }
    let resident = proxy.resident();
    println!("the agent has {resident} kB resident at rest");
    assert!(resident <= 5_000, "{resident} kB");
}

#[tokio::test]
async fn a_gateway_is_ready_only_when_the_control_plane_has_answered() {
    let Some(envoy) = envoy() else { return };
    let certificate = certificate();
    let mut proxy = Proxy::start("ready", &envoy, &certificate.root_pem);

    // Envoy runs, the control plane does not.
    until("envoy runs", async || {
        get(proxy.admin, "/server_info").await.is_ok()
    })
    .await;
    let reason = proxy.readiness(proxy.status).await.expect_err("not ready");
    assert!(
        reason.contains("503") && reason.contains("does it run?"),
        "{reason}"
    );
    let reason = proxy.readiness(proxy.ready).await.expect_err("not ready");
    assert!(reason.contains("cannot connect"), "{reason}");

    // It comes: the gateway is ready, and was known by its token.
    let control_plane = ControlPlane::start(proxy.discovery, &certificate).await;
    proxy.becomes_ready().await;
    {
        let heads = control_plane.heads.lock().expect("no panic");
        let (path, headers) = heads.first().expect("a stream");
        assert!(path.ends_with("/DeltaAggregatedResources"), "{path}");
        assert_eq!(headers["authorization"], "Bearer first-token");
        assert_eq!(headers["clusterid"], "Kubernetes");
    }
    if std::env::var_os("PILOT_AGENT").is_some() {
        stays_small(&proxy).await;
    }
    let metrics = get(proxy.status, "/stats/prometheus")
        .await
        .expect("metrics");
    assert!(
        metrics.contains("istio_agent_xds_proxy_streams 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("envoy_cluster_manager_cds_update_success{} 1"),
        "{metrics}"
    );
    let metrics = get(proxy.prometheus, "/stats/prometheus")
        .await
        .expect("metrics");
    assert!(
        metrics.contains("envoy_cluster_manager_cds_update_success{} 1"),
        "{metrics}"
    );

    // It goes: what is configured goes on.
    drop(control_plane);
    proxy.readiness(proxy.ready).await.expect("still ready");

    // It returns with another certificate, and the token has been rotated meanwhile.
    let renewed = control_plane::certificate();
    let secrets = proxy.folder.join("var/run/secrets");
    std::fs::write(secrets.join("istio/root-cert.pem"), &renewed.root_pem).expect("writable");
    std::fs::write(secrets.join("tokens/istio-token"), "second-token").expect("writable");
    let control_plane = ControlPlane::start(proxy.discovery, &renewed).await;
    until("a new stream", async || control_plane.streams() > 0).await;
    {
        let heads = control_plane.heads.lock().expect("no panic");
        assert_eq!(heads[0].1["authorization"], "Bearer second-token");
    }

    let begun = Instant::now();
    proxy.signal("-TERM");
    until("not ready while it ends", async || {
        proxy.readiness(proxy.status).await.is_err()
    })
    .await;
    let status = proxy.ended().await;
    assert!(status.success(), "{status}");
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1), "it kept envoy for {took:?}");
    assert!(
        get(proxy.admin, "/server_info").await.is_err(),
        "envoy still runs"
    );
}

#[tokio::test]
async fn a_control_plane_that_cannot_be_trusted_gets_neither_token_nor_stream() {
    let Some(envoy) = envoy() else { return };
    let proxy = Proxy::start("untrusted", &envoy, &certificate().root_pem);
    let impostor = ControlPlane::start(proxy.discovery, &certificate()).await;
    until("a failed connection", async || {
        get(proxy.status, "/metrics")
            .await
            .is_ok_and(|text| !text.contains("istio_agent_istiod_connection_failures 0\n"))
    })
    .await;
    assert_eq!(impostor.streams(), 0);
    assert!(proxy.readiness(proxy.status).await.is_err());
}

#[tokio::test]
async fn the_agent_ends_with_envoy_and_when_asked_to_quit() {
    let Some(envoy) = envoy() else { return };
    let certificate = certificate();
    for (name, port_of, path) in [
        (
            "envoy-quits",
            Proxy::admin_port as fn(&Proxy) -> u16,
            "/quitquitquit",
        ),
        ("agent-quits", Proxy::status_port, "/quitquitquit"),
    ] {
        let mut proxy = Proxy::start(name, &envoy, &certificate.root_pem);
        until("envoy runs", async || {
            get(proxy.admin, "/server_info").await.is_ok()
        })
        .await;
        // A request that only reads must not end anything.
        assert!(get(port_of(&proxy), path).await.is_err());
        Local::port(port_of(&proxy))
            .text(Method::POST, path, Duration::from_secs(3))
            .await
            .expect("it is answered");
        let status = proxy.ended().await;
        assert!(status.success(), "{name}: {status}");
    }
}

#[tokio::test]
async fn a_drained_proxy_stays_until_it_is_told_to_end() {
    let Some(envoy) = envoy() else { return };
    let certificate = certificate();
    let mut proxy = Proxy::start("drained", &envoy, &certificate.root_pem);
    let _control_plane = ControlPlane::start(proxy.discovery, &certificate).await;
    proxy.becomes_ready().await;
    Local::port(proxy.status)
        .text(Method::POST, "/drain", Duration::from_secs(3))
        .await
        .expect("it is answered");
    get(proxy.admin, "/server_info").await.expect("envoy runs");
    proxy.signal("-TERM");
    let status = proxy.ended().await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn the_commands_of_the_agent_reach_the_proxy() {
    let Some(envoy) = envoy() else { return };
    let certificate = certificate();
    let proxy = Proxy::start("commands", &envoy, &certificate.root_pem);
    let url = format!("--url=http://localhost:{}/healthz/ready", proxy.ready);
    let wait = async |seconds: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pilot-agent"));
        command.args(["wait", &url, "--periodMillis=50", seconds]);
        command.output().await.expect("it runs")
    };
    let early = wait("--timeoutSeconds=1").await;
    assert!(!early.status.success());
    let message = String::from_utf8_lossy(&early.stderr);
    assert!(
        message.contains("envoy did not become ready within 1s"),
        "{message}"
    );

    let _control_plane = ControlPlane::start(proxy.discovery, &certificate).await;
    let ready = wait("--timeoutSeconds=60").await;
    assert!(ready.status.success());

    let mut request = Command::new(env!("CARGO_BIN_EXE_pilot-agent"));
    let port = proxy.admin.to_string();
    request.args(["request", "GET", "server_info", "--debug-port", &port]);
    let refused = request.output().await.expect("it runs");
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("is not one of 15000"), "{message}");
}

impl Proxy {
    fn admin_port(&self) -> u16 {
        self.admin
    }

    fn status_port(&self) -> u16 {
        self.status
    }
}
