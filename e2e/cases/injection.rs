//! Pods get their sidecars through the operator's installation, in both forms, and serve through them.

use std::collections::BTreeSet;

use e2e::{
    cluster, eventually::eventually, http, load, mesh, namespace, sidecar, workload::Workload,
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::Value;

/// Whether the sidecar is an init container that stays, rather than a container.
fn is_native(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref().expect("a spec");
    let stays = |container: &&k8s_openapi::api::core::v1::Container| {
        container.name == sidecar::CONTAINER
            && container.restart_policy.as_deref() == Some("Always")
    };
    let beside = spec
        .containers
        .iter()
        .any(|container| container.name == sidecar::CONTAINER);
    match (
        spec.init_containers
            .iter()
            .flatten()
            .any(|container| stays(&container)),
        beside,
    ) {
        (true, false) => true,
        (false, true) => false,
        found => panic!("{}: native and classic sidecar: {found:?}", pod.name_any()),
    }
}

#[tokio::test]
async fn the_sample_application_answers_through_the_ingress_gateway() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "bookinfo", async |bookinfo| {
        let mut deployments = Vec::new();
        for file in ["bookinfo.yaml", "bookinfo-gateway.yaml"] {
            for document in cluster::documents(&format!("config/samples/{file}")) {
                if document["kind"] == "Deployment" {
                    deployments.push(
                        document["metadata"]["name"]
                            .as_str()
                            .expect("a name")
                            .to_owned(),
                    );
                }
                cluster::apply(&client, document)
                    .await
                    .expect("the sample is accepted");
            }
        }
        assert_eq!(deployments.len(), 6);
        for deployment in &deployments {
            bookinfo.rolled_out(deployment).await;
        }
        for app in ["productpage", "details", "reviews", "ratings"] {
            for pod in bookinfo.pods_of(app).await {
                assert!(is_native(&pod), "{}", pod.name_any());
            }
        }

        let address = format!("{}:80", mesh::ingress(&client).await);
        let (page, took) = eventually(&client, "the page", 20, || async {
            let answer = http::get(&address, "bookinfo.example", "/productpage").await?;
            (answer.status == 200)
                .then_some(answer.body.clone())
                .ok_or(format!("{answer:?}"))
        })
        .await;
        println!("page after {took:?}");
        // Each part names the pod that made it, and who that saw asking.
        for part in [
            "details-v1-",
            "reviews-v",
            "productpage-v1-",
            "spiffe://cluster.local/ns/bookinfo/sa/bookinfo-productpage",
        ] {
            assert!(page.contains(part), "no {part} in {page}");
        }

        // All three versions of the reviews take part, each called through two sidecars.
        eventually(&client, "reviews of three versions", 30, || async {
            let mut versions = BTreeSet::new();
            for _ in 0..20 {
                let answer =
                    http::get(&address, "bookinfo.example", "/api/v1/products/0/reviews").await?;
                let reviews: Value = serde_json::from_str(&answer.body)
                    .map_err(|error| format!("{error}: {answer:?}"))?;
                versions.insert(reviews["version"].as_str().unwrap_or_default().to_owned());
            }
            let all = ["v1", "v2", "v3"]
                .iter()
                .all(|version| versions.contains(*version));
            all.then_some(()).ok_or(format!("{versions:?}"))
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn native_and_classic_sidecars_serve_each_other() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "injection-both", async |place| {
        place
            .deploy(&[
                Workload::echo("native", "v1"),
                Workload::echo("classic", "v1").classic(),
                Workload::client("from-native"),
                Workload::client("from-classic").classic(),
            ])
            .await;
        for (app, native) in [
            ("native", true),
            ("from-native", true),
            ("classic", false),
            ("from-classic", false),
        ] {
            for pod in place.pods_of(app).await {
                assert_eq!(is_native(&pod), native, "{app}");
            }
        }
        for from in ["from-native", "from-classic"] {
            for to in ["native", "classic"] {
                let url = format!("http://{to}:8080/");
                eventually(&client, &format!("200 {from} to {to}"), 20, || async {
                    match load::once(place, from, &url).await?.as_str() {
                        "200" => Ok(()),
                        other => Err(other.to_owned()),
                    }
                })
                .await;
                let load = load::load(place, from, &url, &["--requests", "200"])
                    .await
                    .expect("it runs");
                assert!(load.is_clean(), "{from} to {to}: {load:?}");
            }
        }
    })
    .await;
}
