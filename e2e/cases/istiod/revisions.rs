//! Two revisions of the control plane side by side, and what they share.

use e2e::argocd::Health;
use e2e::installation::Installation;
use e2e::{cluster, eventually::eventually, load, mesh, namespace, workload::Workload};
use serde_json::json;

/// Objects that both revisions render alike.
const SHARED: [(&str, &str, &str); 3] = [
    (
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "virtualservices.networking.istio.io",
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        "istio-reader-clusterrole-istio-system",
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        "istio-reader-clusterrole-istio-system",
    ),
];

#[tokio::test]
async fn a_second_revision_serves_its_namespaces_and_leaves_the_first_alone() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let canary = Installation::new(&client, mesh::NAMESPACE, "canary");
    namespace::injected(&client, "revisions", async |stable| {
        stable.deploy(&[Workload::echo("echo", "v1")]).await;
        let sample = Installation::sample(&client);
        canary
            .apply(json!({"profile": "minimal", "revision": "canary"}))
            .await;
        canary.until(90, Health::Healthy, |_| true).await;
        sample.until(10, Health::Healthy, |_| true).await;

        let fresh = stable
            .beside("revisions-canary", json!({"istio.io/rev": "canary"}))
            .await;
        fresh.deploy(&[Workload::client("client")]).await;
        let pod = fresh.pods_of("client").await.remove(0);
        let environment = serde_json::to_string(&pod.spec).expect("JSON");
        assert!(
            environment.contains("istiod-canary.istio-system.svc:15012"),
            "{environment}"
        );
        // One CA and one mesh: a proxy of one revision calls one of the other.
        let url = format!("http://{}:8080/", stable.host("echo"));
        eventually(
            &client,
            "200 from one revision to the other",
            30,
            || async {
                let status = load::once(&fresh, "client", &url).await?;
                (status == "200").then_some(()).ok_or(status)
            },
        )
        .await;
        let seen = fresh
            .run("client", &["get", "--url", &url])
            .await
            .expect("an answer");
        assert!(
            seen.stdout
                .contains("spiffe://cluster.local/ns/revisions-canary/sa/client"),
            "{seen:?}"
        );

        let took = canary.delete(90).await;
        println!("the second revision is gone after {took:?}");
        for (api_version, kind, name) in SHARED {
            let found = cluster::dynamic(&client, api_version, kind, None)
                .get_opt(name)
                .await;
            assert!(
                found.expect("an answer").is_some(),
                "{kind} {name} went with the second revision"
            );
        }
        for (kind, name) in [("Deployment", "istiod-canary"), ("Deployment", "istiod")] {
            let api = cluster::dynamic(&client, "apps/v1", kind, Some(mesh::NAMESPACE));
            let there = api.get_opt(name).await.expect("an answer").is_some();
            assert_eq!(there, name == "istiod", "{kind} {name}");
        }
        sample.until(30, Health::Healthy, |_| true).await;
        // What the second revision injected runs on with what it has.
        let load = load::load(&fresh, "client", &url, &["--requests", "100"])
            .await
            .expect("it runs");
        assert!(load.is_clean(), "{load:?}");
    })
    .await;
    mesh::wait_until_healthy(&client).await;
}
