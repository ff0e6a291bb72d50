//! Upstream's dashboards find what they ask a control plane for.

use e2e::namespace::Namespace;
use e2e::{cluster, dashboards, eventually::eventually, http, mesh, namespace};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::proxy::Proxy;

/// An object that passes the rules of the CRDs, and the webhook only with routes.
fn routes(http: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "asked", "namespace": "told-dashboards", "labels": {"istio.io/rev": "default"}},
        "spec": {"hosts": ["asked.example.com"], "http": http},
    })
}

#[tokio::test]
async fn every_series_that_dashboards_ask_for_is_told() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::plain(&client, "told-dashboards", async |place| {
        let route = json!([{"route": [{"destination": {"host": "asked.example.com"}}]}]);
        let applied = cluster::apply(&client, routes(&route)).await;
        applied.expect("a valid object");
        let refused = cluster::apply(&client, routes(&json!([]))).await;
        let refused = refused.expect_err("no routes").to_string();
        assert!(refused.contains("denied the request"), "{refused}");
        let control_plane = Namespace::existing(&client, mesh::NAMESPACE);
        // Other cases may have control planes of other revisions there.
        let mut pods = control_plane.pods_of("istiod").await;
        pods.retain(|pod| {
            pod.labels()
                .get("istio.io/rev")
                .is_some_and(|of| of == "default")
        });
        let first = pods.first().expect("a replica");
        let (mut proxy, _) = eventually(&client, "a stream", 30, || {
            Proxy::connect(first, &place.name)
        })
        .await;
        let response = proxy.hear().await;
        // Of a cluster that is made from nobody's objects: other cases' are to be blamed for nothing.
        proxy.answer(&response, Some("BlackHoleCluster: on purpose"));
        // Dashboards sum over replicas, and each tells what happened to it.
        eventually(&client, "every series", 30, || async {
            let mut told = String::new();
            for pod in &pods {
                let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
                let address = address.ok_or("a replica without an address")?;
                let address = format!("{address}:{}", base::names::port::MONITORING);
                told += &http::get(&address, "istiod", "/metrics").await?.body;
            }
            match dashboards::missing(&told) {
                none if none.is_empty() => Ok(()),
                missing => Err(missing.join("; ")),
            }
        })
        .await;
    })
    .await;
}
