//! A weighted split sends each version its share.

use e2e::istioctl::istioctl;
use e2e::{cluster, eventually::eventually, load, mesh, namespace, workload::Workload};
use serde_json::{Value, json};

const URL: &str = "http://echo:8080/";

fn split(v1: u32, v2: u32) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "echo"},
        "spec": {"hosts": ["echo"], "http": [{"route": [
            {"destination": {"host": "echo", "subset": "v1"}, "weight": v1},
            {"destination": {"host": "echo", "subset": "v2"}, "weight": v2},
        ]}]},
    })
}

#[tokio::test]
async fn a_canary_gets_its_tenth() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "canary", async |place| {
        place
            .deploy(&[
                Workload::echo("echo", "v1"),
                Workload::echo("echo", "v2"),
                Workload::client("client"),
            ])
            .await;
        place
            .apply(json!({
                "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "echo"},
                "spec": {"host": "echo", "subsets": [
                    {"name": "v1", "labels": {"version": "v1"}},
                    {"name": "v2", "labels": {"version": "v2"}},
                ]},
            }))
            .await;
        // All to v2 first: that shows when the sidecar follows the rule, without a look at the split.
        place.apply(split(0, 100)).await;
        eventually(&client, "v2 gets all", 20, || async {
            let load = load::load(place, "client", URL, &["--requests", "30"]).await?;
            (load.is_clean() && load.versions.get("v2") == Some(&30)).then_some(()).ok_or(format!("{load:?}"))
        })
        .await;
        place.apply(split(90, 10)).await;
        eventually(&client, "v1 gets some", 20, || async {
            let load = load::load(place, "client", URL, &["--requests", "30"]).await?;
            load.versions.contains_key("v1").then_some(()).ok_or(format!("{load:?}"))
        })
        .await;

        let many = ["--requests", "5000", "--concurrency", "8"];
        let load = load::load(place, "client", URL, &many).await.expect("it runs");
        assert!(load.is_clean() && load.sent == 5000, "{load:?}");
        let share = *load.versions.get("v2").unwrap_or(&0) as f64 / 50.0;
        println!("the canary got {share} %, p99 {} ms", load.p99_ms);
        assert!((share - 10.0).abs() <= 2.0, "{load:?}");

        let words = ["explain", "request", "deployment/client", URL, "-n", "canary"];
        let said = istioctl(&words).expect("an answer");
        let both = "90% reaches echo v1 over mTLS; 10% reaches echo v2 over mTLS\n";
        assert!(said.starts_with(both), "{said}");
    })
    .await;
}
