//! Two revisions of the control plane side by side, and what they share.

use e2e::argocd::Health;
use e2e::installation::Installation;
use e2e::inventory::{self, Inventory};
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
        sample.until(30, Health::Healthy, |_| true).await;

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

#[tokio::test]
async fn what_two_revisions_share_stays_with_the_second_when_the_first_goes() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let (first, second) = (mesh::NAME, "second");
    let installation = Installation::new(&client, mesh::NAMESPACE, second);
    installation
        .apply(json!({"profile": "minimal", "revision": "second"}))
        .await;
    installation.until(90, Health::Healthy, |_| true).await;
    let inventories = async || {
        let of = async |name| Inventory::of(&client, mesh::NAMESPACE, name).await;
        (of(first).await, of(second).await)
    };
    let (of_first, of_second) = inventories().await;
    let both = of_second.shared.clone();
    assert!(both.is_subset(&of_first.own), "{both:?}");
    let (definitions, others): (Vec<_>, Vec<_>) = both
        .iter()
        .partition(|object| object.kind == "CustomResourceDefinition");
    assert!(definitions.len() > 10 && !others.is_empty(), "{both:?}");
    println!("{others:?}");

    let took = mesh::delete(&client).await;
    println!("the first revision is gone after {took:?}");
    // Objects that both need are the same ones as before, and known to be the second's.
    let (_, took) = eventually(&client, "what was shared is the second's", 20, || async {
        let (_, now) = inventories().await;
        let handed_over = now.shared.is_empty() && now.own.is_superset(&both);
        handed_over.then_some(()).ok_or(format!("{:?}", now.shared))
    })
    .await;
    println!("what was shared is recorded as the second's after {took:?}");
    for object in &both {
        let namespace = object.namespace.as_deref();
        let api = cluster::dynamic(&client, &object.api_version, &object.kind, namespace);
        let standing = api.get(&object.name).await;
        let standing = standing.unwrap_or_else(|error| panic!("{object}: {error}"));
        let labels = standing.metadata.labels.unwrap_or_default();
        let owner = labels.get(base::labels::OWNING_RESOURCE);
        assert_eq!(owner.map(String::as_str), Some(second), "{object}");
    }
    installation.until(30, Health::Healthy, |_| true).await;
    // Whoever is alone is also the cluster's default revision.
    let (_, now) = inventories().await;
    let mut only_first = of_first.own.clone();
    only_first.retain(|object| !now.own.contains(object));
    let left = inventory::standing(&client, &only_first).await;
    assert_eq!(left, Ok(Vec::new()), "of the first alone");

    // The last owner takes with it what may go: not the CRDs, which hold users' objects.
    let (_, mut all) = inventories().await;
    installation.delete(90).await;
    all.own
        .retain(|object| object.kind != "CustomResourceDefinition");
    let left = inventory::standing(&client, &all.own).await;
    assert_eq!(left, Ok(Vec::new()), "of the last");
    let kept = inventory::standing(&client, &definitions.into_iter().cloned().collect()).await;
    assert!(kept.is_ok_and(|kept| kept.len() > 10), "CRDs are kept");
}
