//! Certificates that live for a minute: ten successors, and no request notices.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::{cluster, load, mesh, namespace, namespace::Namespace, sidecar, workload::Workload};
use serde_json::{Value, json};

/// How many are waited for. Where the operator hosts the CA it is the same CA: there a few show that it is asked.
fn wanted(host: mesh::Host) -> usize {
    match host {
        mesh::Host::Istiod => 10,
        mesh::Host::Operator => 3,
    }
}

/// Asked for earlier than at half of the minute, as users may: each comes at a quarter, and this leaves it some more.
const SETTINGS: &str = "proxyMetadata: {SECRET_TTL: 1m, SECRET_GRACE_PERIOD_RATIO: \"0.75\"}";
const EACH: Duration = Duration::from_secs(25);
/// What a busy machine may take from all of them together, beside that.
const SLACK: Duration = Duration::from_secs(60);

/// Serial number of the certificate that the pod's Envoy shows to its peers now, and for how long it is valid.
async fn serial(place: &Namespace, pod: &str) -> Result<(String, jiff::SignedDuration), String> {
    let page = sidecar::admin(place, pod, "/certs").await?;
    let certs: Value = serde_json::from_str(&page).map_err(|error| format!("{error}: {page}"))?;
    let chains = certs["certificates"].as_array().into_iter().flatten();
    let mut own = chains.filter_map(|entry| entry["cert_chain"].get(0));
    let cert = own
        .next()
        .ok_or_else(|| format!("{pod} shows no certificate: {page}"))?;
    let time = |field: &str| -> Result<jiff::Timestamp, String> {
        let text = cert[field].as_str().unwrap_or_default();
        text.parse()
            .map_err(|error| format!("{field} {text:?}: {error}"))
    };
    let lifetime = time("expiration_time")?.duration_since(time("valid_from")?);
    Ok((
        cert["serial_number"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        lifetime,
    ))
}

#[tokio::test]
async fn rotations_under_load_lose_no_request() {
    let client = cluster::client().await;
    let _mesh = mesh::beside(&client).await;
    let rotations = wanted(mesh::host(&client).await);
    let limit = SLACK + EACH * u32::try_from(rotations).expect("it is small");
    let short = |workload: Workload| workload.annotation("proxy.istio.io/config", SETTINGS);
    namespace::injected(&client, "rotation", async |place| {
        let server = short(Workload::echo("echo", "v1"));
        place.deploy(&[server, short(Workload::client("client")), short(Workload::client("keeper"))]).await;
        // The same server under another name, with a handshake for each request: certificates are shown all the time.
        place.apply(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "handshakes"},
            "spec": {"selector": {"app": "echo"}, "ports": [{"name": "http", "port": 8080}]},
        })).await;
        place.apply(json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "handshakes"},
            "spec": {"host": "handshakes", "trafficPolicy": {"connectionPool": {"http": {"maxRequestsPerConnection": 1}}}},
        })).await;
        for (app, url) in [("client", "http://handshakes:8080/"), ("keeper", "http://echo:8080/")] {
            load::known(place, app, url).await;
        }
        let fresh = load::Steady::begin(place, "client", "http://handshakes:8080/", &["--rate", "20"]);
        let kept = load::Steady::begin(place, "keeper", "http://echo:8080/", &["--rate", "20"]);

        let pods = [place.pod_of("echo").await, place.pod_of("client").await];
        let mut seen = [BTreeSet::new(), BTreeSet::new()];
        let mut unseen = None;
        let begin = Instant::now();
        while seen.iter().any(|serials| serials.len() <= rotations) {
            for (pod, serials) in pods.iter().zip(&mut seen) {
                match serial(place, pod).await {
                    Ok((serial, lifetime)) => {
                        assert!(lifetime.as_secs() < 300, "{pod}: a certificate for {lifetime}");
                        serials.insert(serial);
                    }
                    Err(reason) => unseen = Some(reason),
                }
            }
            let counts: Vec<_> = seen.iter().map(BTreeSet::len).collect();
            let took = begin.elapsed();
            assert!(took < limit, "{counts:?} certificates after {took:?}, not seen: {unseen:?}");
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        println!("{rotations} rotations of client and server in {:?}", begin.elapsed());
        for (name, load) in [("handshakes", fresh.end().await), ("kept", kept.end().await)] {
            println!("{name}: {} requests, p99 {} ms", load.sent, load.p99_ms);
            assert!(load.is_clean(), "{name}: {load:?}");
        }
    })
    .await;
}
