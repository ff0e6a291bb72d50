//! Deleting an IstioOperator leaves nothing behind but what is meant to stay, and no state that it is in stops it.

use std::collections::BTreeSet;

use e2e::argocd::Health;
use e2e::installation::Installation;
use e2e::{cluster, eventually::eventually, listing, mesh, namespace};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

/// What stays after a deletion, or comes and goes by itself: the CRDs and the API groups they
/// open, namespaces, the CA's objects; Leases and Events.
fn stays(object: &str) -> bool {
    let (kind, name) = object.split_once(' ').expect("a kind and a name");
    let name = name.rsplit('/').next().expect("a name");
    match kind.rsplit('/').next().expect("a kind") {
        "Lease" | "Event" | "Namespace" => true,
        "CustomResourceDefinition" | "APIService" => name.ends_with(".istio.io"),
        "Secret" => name == base::names::CA_SECRET,
        "ConfigMap" => name == base::names::ROOT_CERT_CONFIG_MAP,
        _ => false,
    }
}

async fn lasting(client: &kube::Client) -> BTreeSet<String> {
    listing::everything(client)
        .await
        .into_iter()
        .filter(|object| !stays(object))
        .collect()
}

#[tokio::test]
async fn after_deletion_the_api_holds_what_it_held_before() {
    let client = cluster::client().await;
    let _mesh = mesh::bare(&client).await;
    // A namespace that an earlier case deletes, or a pod that ends, may still be on its way out.
    let (before, _) = eventually(&client, "nothing is in motion", 60, || async {
        let first = lasting(&client).await;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let second = lasting(&client).await;
        let of_mesh: Vec<_> = second
            .iter()
            .filter(|object| object.contains(" istio-system/"))
            .filter(|object| !object.ends_with("ServiceAccount istio-system/default"))
            // Where it hosts the control plane, the operator lives there.
            .filter(|object| !object.contains(" istio-system/istio-operator"))
            .collect();
        match first == second
            && of_mesh
                .iter()
                .all(|object| object.ends_with("/kube-root-ca.crt"))
        {
            true => Ok(first),
            false => Err(format!(
                "{of_mesh:?}, {:?}",
                first.symmetric_difference(&second)
            )),
        }
    })
    .await;

    mesh::install(&client).await;
    mesh::wait_until_healthy(&client).await;
    let installed = lasting(&client).await;
    assert!(
        installed.len() > before.len() + 40,
        "only {} objects were added",
        installed.len() - before.len()
    );

    let took = mesh::delete(&client).await;
    println!("deleted in {took:?}");
    eventually(&client, "the listing is as before", 90, || async {
        let after = lasting(&client).await;
        match after == before {
            true => Ok(()),
            false => Err(format!(
                "{:#?}",
                after.symmetric_difference(&before).collect::<Vec<_>>()
            )),
        }
    })
    .await;

    let secrets = cluster::dynamic(&client, "v1", "Secret", Some(mesh::NAMESPACE));
    secrets
        .get(base::names::CA_SECRET)
        .await
        .expect("the CA's secret is kept");
    let crds = cluster::dynamic(
        &client,
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        None,
    );
    crds.get("virtualservices.networking.istio.io")
        .await
        .expect("CRDs are kept");
}

/// A gateway and nothing else, in a namespace of its own.
fn lonely(namespace: &str) -> serde_json::Value {
    json!({
        "profile": "empty",
        "values": {"gateways": {"istio-ingressgateway": {"autoscaleEnabled": false}}},
        "components": {"ingressGateways": [
            {"name": "edge", "enabled": true, "namespace": namespace, "k8s": {"replicaCount": 0}},
        ]},
    })
}

#[tokio::test]
async fn a_paused_installation_is_deleted() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::plain(&client, "deletion-paused", async |place| {
        let installation = Installation::new(&client, &place.name, "paused");
        installation.apply(lonely(&place.name)).await;
        let services = cluster::dynamic(&client, "v1", "Service", Some(&place.name));
        eventually(&client, "Service edge", 20, || async {
            let found = services.get("edge").await;
            found.map(drop).map_err(|error| error.to_string())
        })
        .await;
        let pause = json!({"metadata": {"annotations": {base::labels::IGNORE_RECONCILE: "true"}}});
        installation
            .api()
            .patch("paused", &PatchParams::default(), &Patch::Merge(pause))
            .await
            .expect("an annotation");
        let took = installation.delete(60).await;
        println!("paused: gone after {took:?}");
        assert!(
            services.get_opt("edge").await.expect("an answer").is_none(),
            "Service edge stayed"
        );
    })
    .await;
}

#[tokio::test]
async fn an_installation_whose_namespace_is_missing_is_deleted() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::plain(&client, "deletion-missing", async |place| {
        let installation = Installation::new(&client, &place.name, "elsewhere");
        installation.apply(lonely("deletion-elsewhere")).await;
        let namespaces = cluster::dynamic(&client, "v1", "Namespace", None);
        eventually(&client, "the gateway's namespace", 20, || async {
            let services = cluster::dynamic(&client, "v1", "Service", Some("deletion-elsewhere"));
            let found = services.get("edge").await;
            found.map(drop).map_err(|error| error.to_string())
        })
        .await;
        // Whoever deletes the namespace first takes nothing from the deletion of the rest.
        namespaces
            .delete("deletion-elsewhere", &DeleteParams::default())
            .await
            .expect("it can be deleted");
        let took = installation.delete(60).await;
        println!("without its namespace: gone after {took:?}");
    })
    .await;
}

#[tokio::test]
async fn an_installation_whose_control_plane_never_ran_is_deleted() {
    let client = cluster::client().await;
    let _mesh = mesh::bare(&client).await;
    let installation = Installation::sample(&client);
    let mut spec = cluster::documents("config/samples/istiooperator.yaml")[0]["spec"].clone();
    spec["tag"] = json!("no-such-version");
    installation.apply(spec).await;
    let status = installation
        .until(60, Health::Progressing, |status| {
            status["conditions"].to_string().contains("ImagePull")
        })
        .await;
    println!("{}", status["message"]);
    let took = installation.delete(120).await;
    println!("without a control plane: gone after {took:?}");
}
