//! Between sidecars everything is mutual TLS; who has none is served where that is allowed and refused
//! where it is not.

use e2e::istioctl::istioctl;
use e2e::{
    cluster, eventually::eventually, load, mesh, namespace, namespace::Namespace,
    workload::Workload,
};
use serde_json::{Value, json};

const HTTP: &str = "http://echo:8080/";

fn policy(mode: &str) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
        "metadata": {"name": "default"}, "spec": {"mtls": {"mode": mode}},
    })
}

/// What echo saw: the headers of a request from `app`.
async fn headers(place: &Namespace, app: &str) -> Result<Value, String> {
    let output = place.run(app, &["get", "--url", HTTP]).await?;
    let seen: Value =
        serde_json::from_str(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
    Ok(seen["headers"].clone())
}

/// First line that echo's TCP port says to `app`, or why it says none.
async fn greeting(place: &Namespace, app: &str) -> Result<String, String> {
    let output = place
        .run(
            app,
            &[
                "tcp",
                "--to",
                "echo:9000",
                "--line",
                "are you there",
                "--timeout",
                "5s",
            ],
        )
        .await?;
    Ok(output.stdout)
}

async fn is_served(place: &Namespace, app: &str) {
    eventually(&place.client, &format!("{app} is served"), 20, || async {
        let http = load::once(place, app, HTTP).await?;
        let tcp = greeting(place, app).await?;
        let served = http == "200" && tcp.starts_with("hello ");
        served
            .then_some(())
            .ok_or(format!("http {http}, tcp {tcp}"))
    })
    .await;
}

#[tokio::test]
async fn strict_refuses_a_client_without_a_sidecar_and_permissive_serves_it() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "mutual-tls", async |place| {
        place
            .deploy(&[
                Workload::echo("echo", "v1"),
                Workload::client("inside"),
                Workload::client("outside").plain(),
            ])
            .await;
        is_served(place, "inside").await;
        is_served(place, "outside").await;

        // The server's Envoy writes who the peer proved to be, and only when it proved it.
        let peer =
            headers(place, "inside").await.expect("an answer")["x-forwarded-client-cert"].clone();
        let peer = peer.as_str().unwrap_or_default();
        for part in [
            "By=spiffe://cluster.local/ns/mutual-tls/sa/echo",
            "URI=spiffe://cluster.local/ns/mutual-tls/sa/inside",
        ] {
            assert!(peer.contains(part), "{peer}");
        }
        let outside = headers(place, "outside").await.expect("an answer");
        assert_eq!(outside["x-forwarded-client-cert"], Value::Null, "{outside}");

        // The one who has a sidecar notices nothing of the change.
        let steady = load::Steady::begin(
            place,
            "inside",
            HTTP,
            &["--rate", "50", "--new-connections"],
        );
        place.apply(policy("STRICT")).await;
        let (reason, took) = eventually(&client, "outside is refused", 20, || async {
            let http = load::once(place, "outside", HTTP).await?;
            let tcp = greeting(place, "outside").await?;
            let refused = http.parse::<u16>().is_err() && tcp.starts_with("error: ");
            refused
                .then_some(format!("http {http}, tcp {tcp}"))
                .ok_or(format!("http {http}, tcp {tcp}"))
        })
        .await;
        println!("STRICT after {took:?}: {reason}");
        for _ in 0..5 {
            let http = load::once(place, "outside", HTTP).await.expect("it runs");
            assert!(
                http.parse::<u16>().is_err(),
                "served with {http} after the refusal"
            );
        }
        is_served(place, "inside").await;
        let explained = |from| istioctl(&["explain", "request", from, HTTP, "-n", "mutual-tls"]);
        let said = explained("deployment/inside").expect("an answer");
        assert!(said.starts_with("reaches echo over mTLS\n"), "{said}");
        let said = explained("deployment/outside").expect("an answer");
        assert!(
            said.starts_with("refused: plaintext arrives at echo"),
            "{said}"
        );

        place.apply(policy("PERMISSIVE")).await;
        is_served(place, "outside").await;
        let load = steady.end().await;
        assert!(load.is_clean(), "{load:?}");
    })
    .await;
}

#[tokio::test]
async fn a_sidecar_talks_plainly_to_a_server_without_one() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "mutual-tls-plain", async |place| {
        place
            .deploy(&[
                Workload::echo("echo", "v1").plain(),
                Workload::client("inside"),
            ])
            .await;
        is_served(place, "inside").await;
        let seen = headers(place, "inside").await.expect("an answer");
        assert_eq!(seen["x-forwarded-client-cert"], Value::Null, "{seen}");
    })
    .await;
}
