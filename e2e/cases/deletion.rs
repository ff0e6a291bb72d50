//! Deleting an IstioOperator leaves nothing behind but what is meant to stay, and no state that it is in stops it.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use e2e::argocd::Health;
use e2e::installation::{Installation, condition};
use e2e::{cluster, eventually::eventually, listing, mesh, namespace};
use futures::FutureExt;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

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
        namespace::none_is_ending(&client).await?;
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

/// Waits for the Service of that gateway.
async fn there(services: &Api<DynamicObject>) {
    let client = services.clone().into_client();
    eventually(&client, "Service edge", 20, || async {
        let found = services.get("edge").await;
        found.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

/// A condition that tells what a deletion waits for.
fn waits_for(status: &Value, parts: &[&str]) -> bool {
    let message = condition(status, "Reconciling")["message"].as_str();
    let message = message.unwrap_or_default();
    status["message"] == message && parts.iter().all(|part| message.contains(part))
}

#[tokio::test]
async fn an_installation_that_became_invalid_is_deleted() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::plain(&client, "deletion-invalid", async |place| {
        let installation = Installation::new(&client, &place.name, "invalid");
        installation.apply(lonely(&place.name)).await;
        let services = cluster::dynamic(&client, "v1", "Service", Some(&place.name));
        there(&services).await;
        let invalid = json!({"profile": "no-such-profile", "components": {"ingressGateways": 1}});
        installation.apply(invalid).await;
        installation.until(20, Health::Degraded, |_| true).await;
        let took = installation.delete(60).await;
        println!("invalid: gone after {took:?}");
        assert!(
            services.get_opt("edge").await.expect("an answer").is_none(),
            "Service edge stayed"
        );
    })
    .await;
}

#[tokio::test]
async fn a_deletion_that_waits_says_for_what_and_an_annotation_ends_it() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::plain(&client, "deletion-waits", async |place| {
        let installation = Installation::new(&client, &place.name, "waiting");
        installation.apply(lonely(&place.name)).await;
        let services = cluster::dynamic(&client, "v1", "Service", Some(&place.name));
        there(&services).await;
        let hold = |by: &[&str]| json!({"metadata": {"finalizers": by}});
        let held = Patch::Merge(hold(&["e2e.ferrosail.test/hold"]));
        let params = PatchParams::default();
        services
            .patch("edge", &params, &held)
            .await
            .expect("a patch");
        installation.begin_deletion().await;
        let object = "service deletion-waits/edge";
        let waiting = |status: &Value| waits_for(status, &["deleting", object, "to end"]);
        installation.until(20, Health::Progressing, waiting).await;
        // Later an Event as well, and status tells the way out.
        let force = |status: &Value| waits_for(status, &[object, base::labels::FORCE_DELETE]);
        installation.until(40, Health::Progressing, force).await;
        let (told, _) = eventually(&client, "an Event", 20, || async {
            let told = installation.told("WaitingToEnd").await;
            told.first().cloned().ok_or("none".to_owned())
        })
        .await;
        assert!(told.contains(object), "{told}");

        installation
            .annotate(base::labels::FORCE_DELETE, Some("true"))
            .await;
        installation.gone(30).await;
        let left = services.get("edge").await.expect("its finalizer holds it");
        assert!(left.metadata.deletion_timestamp.is_some());
        let (told, _) = eventually(&client, "an Event", 20, || async {
            let told = installation.told("LeftBehind").await;
            told.first().cloned().ok_or("none".to_owned())
        })
        .await;
        assert!(
            told.contains(object) && told.contains(base::labels::FORCE_DELETE),
            "{told}"
        );
        println!("{told}");
        // Nothing else stays behind, not even what pods would have needed to the last.
        let roles = cluster::dynamic(
            &client,
            "rbac.authorization.k8s.io/v1",
            "Role",
            Some(&place.name),
        );
        eventually(&client, "no Role", 20, || async {
            let left = roles.list(&ListParams::default()).await;
            let left = left.map_err(|error| error.to_string())?.items;
            left.is_empty().then_some(()).ok_or(format!("{left:?}"))
        })
        .await;
        let free = Patch::Merge(hold(&[]));
        services
            .patch("edge", &params, &free)
            .await
            .expect("a patch");
    })
    .await;
}

/// A webhook at which nobody answers, asked before a Service of this namespace goes.
fn deaf(namespace: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "deletion-refused"},
        "webhooks": [{
            "name": "deaf.ferrosail.test", "failurePolicy": "Fail", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "timeoutSeconds": 1,
            "clientConfig": {"service": {"name": "nobody", "namespace": namespace}},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["services"]}],
        }],
    })
}

/// What is said of a deletion that waits for a refused one, and that everything else goes on.
async fn told_while_refused(client: &Client, namespace: &str, installation: &Installation) {
    installation.begin_deletion().await;
    let refused = |status: &Value| {
        waits_for(
            status,
            &["service deletion-refused/edge", "deaf.ferrosail.test"],
        )
    };
    let status = installation.until(20, Health::Progressing, refused).await;
    println!("{}", status["message"]);
    let deployments = cluster::dynamic(client, "apps/v1", "Deployment", Some(namespace));
    eventually(client, "what is not refused goes", 30, || async {
        let other = deployments.get_opt("edge").await;
        match other.map_err(|error| error.to_string())? {
            Some(left) => Err(format!("{:?}", left.metadata)),
            None => Ok(()),
        }
    })
    .await;
}

#[tokio::test]
async fn a_deletion_that_is_refused_names_who_refuses_and_goes_on_without_them() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::plain(&client, "deletion-refused", async |place| {
        let installation = Installation::new(&client, &place.name, "refused");
        installation.apply(lonely(&place.name)).await;
        let services = cluster::dynamic(&client, "v1", "Service", Some(&place.name));
        there(&services).await;
        cluster::apply(&client, deaf(&place.name))
            .await
            .expect("a webhook");
        // It is asked from some moment on.
        eventually(&client, "deletions are refused", 20, || async {
            let trial = DeleteParams::default().dry_run();
            match services.delete("edge", &trial).await {
                Ok(_) => Err("not yet".to_owned()),
                Err(_) => Ok(()),
            }
        })
        .await;
        let told = AssertUnwindSafe(told_while_refused(&client, &place.name, &installation));
        let told = told.catch_unwind().await;
        // Else the namespace would never end, and nothing would rest for the cases that follow.
        let webhooks = "ValidatingWebhookConfiguration";
        cluster::dynamic(&client, "admissionregistration.k8s.io/v1", webhooks, None)
            .delete("deletion-refused", &DeleteParams::default())
            .await
            .expect("it can be deleted");
        if let Err(panic) = told {
            std::panic::resume_unwind(panic);
        }
        let took = installation.gone(60).await;
        println!("no longer refused: gone after {took:?}");
        assert!(
            services.get_opt("edge").await.expect("an answer").is_none(),
            "Service edge stayed"
        );
    })
    .await;
}

#[tokio::test]
async fn a_namespace_goes_with_the_installation_in_it() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::plain(&client, "deletion-whole", async |place| {
        let installation = Installation::new(&client, &place.name, "inside");
        installation.apply(lonely(&place.name)).await;
        there(&cluster::dynamic(
            &client,
            "v1",
            "Service",
            Some(&place.name),
        ))
        .await;
        let namespaces = cluster::dynamic(&client, "v1", "Namespace", None);
        namespaces
            .delete(&place.name, &DeleteParams::default())
            .await
            .expect("it can be deleted");
        let (_, took) = eventually(&client, "the namespace is gone", 60, || async {
            match namespaces.get_opt(&place.name).await {
                Ok(None) => Ok(()),
                Ok(Some(left)) => Err(left.data["status"].to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
        println!("with its namespace: gone after {took:?}");
    })
    .await;
}

#[tokio::test]
async fn a_paused_installation_is_deleted() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::plain(&client, "deletion-paused", async |place| {
        let installation = Installation::new(&client, &place.name, "paused");
        installation.apply(lonely(&place.name)).await;
        let services = cluster::dynamic(&client, "v1", "Service", Some(&place.name));
        there(&services).await;
        installation
            .annotate(base::labels::IGNORE_RECONCILE, Some("true"))
            .await;
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
        let elsewhere = Some("deletion-elsewhere");
        there(&cluster::dynamic(&client, "v1", "Service", elsewhere)).await;
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
    let mut spec = mesh::sample();
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
