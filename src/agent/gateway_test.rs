//! The binary with a real Envoy against a small control plane on loopback: ready only when the
//! control plane has answered, reconnecting when it returns, ending when it is told to.
//! The variable ENVOY names Envoy's binary; without it nothing here runs, and that is said.
//! PILOT_AGENT may name a release build, whose memory is then checked.

#[path = "gateway_test/certificates.rs"]
mod certificates;
#[path = "gateway_test/control_plane.rs"]
mod control_plane;
#[path = "gateway_test/proxy.rs"]
mod proxy;

use std::time::{Duration, Instant};

use agent::admin::Local;
use http::Method;
use tokio::process::Command;

use control_plane::{ControlPlane, certificate};
use proxy::{Proxy, envoy, get, until};

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
            (|proxy| proxy.admin) as fn(&Proxy) -> u16,
            "/quitquitquit",
        ),
        ("agent-quits", |proxy| proxy.status, "/quitquitquit"),
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
