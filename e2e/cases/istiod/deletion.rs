//! An installation whose control plane is dead is deleted: nothing that only istiod could answer is asked.

use e2e::argocd::Health;
use e2e::installation::Installation;
use e2e::{cluster, mesh, namespace, workload::Workload};
use kube::api::PostParams;
use serde_json::json;

use super::outage::take_istiod_away;

#[tokio::test]
async fn an_installation_whose_control_plane_is_dead_is_deleted_with_its_webhooks() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    namespace::injected(&client, "deletion-dead", async |place| {
        place.deploy(&[Workload::client("client")]).await;
        let rule = |host: &str| {
            json!({
                "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
                "metadata": {"name": "kept", "namespace": place.name}, "spec": {"host": host},
            })
        };
        place.apply(rule("kept")).await;
        take_istiod_away(&client).await;
        // Paused, as someone leaves it who wants istiod away.
        let status = Installation::sample(&client)
            .until(20, Health::Degraded, |_| true)
            .await;
        assert!(status["message"].to_string().contains("istiod"), "{status}");
        let pod = serde_json::from_value(Workload::client("client").pod()).expect("a pod");
        let refused = place.pods().create(&PostParams::default(), &pod).await;
        let refused = refused.expect_err("the webhook is still there, and nobody answers it");
        assert!(
            refused.to_string().contains("failed calling webhook"),
            "{refused}"
        );

        let took = mesh::delete(&client).await;
        println!("with a dead control plane: gone after {took:?}");
        assert!(took.as_secs() < 60, "{took:?}");
        // What the user wrote stays, and is the user's to change again: no webhook is left that nobody answers.
        place.apply(rule("changed")).await;
        place.deploy(&[Workload::client("unmeshed")]).await;
    })
    .await;
}
