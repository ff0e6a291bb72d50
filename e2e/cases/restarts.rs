//! Rolling restarts that no client notices: of a workload, and of the control plane.

use e2e::{
    cluster, eventually::eventually, load, mesh, namespace, namespace::Namespace,
    workload::Workload,
};
use serde_json::{Value, json};

const URL: &str = "http://echo:8080/";

async fn echo_and_client(place: &Namespace) {
    // Pods that end go on serving until every client has heard of it, on a busy machine too.
    let echo = Workload::echo("echo", "v1").argument("--drain=5s");
    place
        .deploy(&[echo.replicas(2), Workload::client("client")])
        .await;
    eventually(&place.client, "200", 20, || async {
        let status = load::once(place, "client", URL).await?;
        (status == "200").then_some(()).ok_or(status)
    })
    .await;
}

#[tokio::test]
async fn a_rolling_restart_of_a_workload_loses_no_request() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "restarts-workload", async |place| {
        echo_and_client(place).await;
        let steady = load::Steady::begin(
            place,
            "client",
            URL,
            &["--rate", "250", "--concurrency", "4"],
        );
        for _ in 0..2 {
            place.restart("echo-v1").await;
            place.rolled_out("echo-v1").await;
        }
        // Until the last old pod has ended.
        eventually(&client, "only new pods", 60, || async {
            let pods = place
                .pods()
                .list(&kube::api::ListParams::default().labels("app=echo"))
                .await;
            let count = pods.map_err(|error| error.to_string())?.items.len();
            (count == 2).then_some(()).ok_or(format!("{count} pods"))
        })
        .await;
        let load = steady.end().await;
        println!("{} requests, p99 {} ms", load.sent, load.p99_ms);
        assert!(load.is_clean() && load.sent >= 1000, "{load:?}");
    })
    .await;
}

#[tokio::test]
async fn a_rolling_restart_of_the_control_plane_loses_no_request() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    namespace::injected(&client, "restarts-istiod", async |place| {
        echo_and_client(place).await;
        let steady = load::Steady::begin(
            place,
            "client",
            URL,
            &["--rate", "250", "--concurrency", "4"],
        );
        let deployment = mesh::control_plane(&client).await;
        namespace::restart(&client, mesh::NAMESPACE, deployment).await;
        place.sibling(mesh::NAMESPACE).rolled_out(deployment).await;
        // The new one serves: a change reaches the old sidecar.
        place.apply(abort(418)).await;
        eventually(&client, "a change after the restart", 30, || async {
            let status = load::once(place, "client", "http://echo:8080/changed").await?;
            (status == "418").then_some(()).ok_or(status)
        })
        .await;
        let load = steady.end().await;
        println!("{} requests, p99 {} ms", load.sent, load.p99_ms);
        assert!(load.is_clean() && load.sent >= 1000, "{load:?}");
    })
    .await;
    mesh::wait_until_healthy(&client).await;
}

fn abort(status: u16) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "echo"},
        "spec": {"hosts": ["echo"], "http": [
            {
                "match": [{"uri": {"exact": "/changed"}}],
                "fault": {"abort": {"httpStatus": status, "percentage": {"value": 100}}},
                "route": [{"destination": {"host": "echo"}}],
            },
            {"route": [{"destination": {"host": "echo"}}]},
        ]},
    })
}
