//! Deleting the IstioOperator leaves nothing behind but what is meant to stay.

use std::collections::BTreeSet;

use e2e::{cluster, eventually::eventually, listing, mesh};

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
