//! Settings for which the control plane is granted more than usual: whatever becomes of them, nobody is refused what they
//! ask the API server for.

use std::panic::AssertUnwindSafe;

use e2e::argocd::Health;
use e2e::installation::{Installation, condition};
use e2e::namespace::Namespace;
use e2e::{audit, cluster, mesh, operator};
use futures::FutureExt;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::writes::settled;

/// Analysis, taints and signers of others.
fn with_more_rights() -> Value {
    let mut spec = mesh::sample();
    spec["values"] = json!({
        "global": {"istiod": {"enableAnalysis": true}, "certSigners": ["example.com/signer"]},
        "pilot": {"taint": {"enabled": true}, "env": {"EXTERNAL_CA": "ISTIOD_RA_KUBERNETES_API"}},
    });
    spec
}

/// As above, and the root in the cluster's own store of roots.
fn with_trust_bundle() -> Value {
    let mut spec = with_more_rights();
    spec["values"]["pilot"]["env"]["ENABLE_CLUSTER_TRUST_BUNDLE_API"] = json!(true);
    spec
}

/// Lines of the logs of operator and control plane that tell of a refusal.
async fn refusals(client: &Client) -> Vec<String> {
    let place = operator::place(client).await;
    let mut logs = Vec::new();
    for pod in place
        .pods_by("app.kubernetes.io/name", operator::NAME)
        .await
    {
        logs.push(operator::log(&place, &pod.name_any()).await);
    }
    let control_plane = Namespace::existing(client, mesh::NAMESPACE);
    for pod in control_plane.pods_by("istio", "pilot").await {
        logs.push(control_plane.log(&pod.name_any(), "discovery").await);
    }
    let lines = logs.iter().flat_map(|log| log.lines());
    let refused = lines.filter(|line| line.to_lowercase().contains("forbidden"));
    refused.map(str::to_owned).collect()
}

/// Writes since `mark` that were refused for want of permission, by anyone of the installation.
fn refused_writes(mark: u64) -> Vec<audit::Write> {
    let mut refused = audit::since(mark);
    refused.retain(|write| {
        write.code == 403 && write.user.starts_with("system:serviceaccount:istio-")
    });
    refused
}

#[tokio::test]
async fn nobody_is_refused_what_settings_ask_for() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let installation = Installation::sample(&client);
    // In a namespace that ends, whoever creates an object is refused as if for want of permission.
    settled(&client).await;
    let (before, mark) = (refusals(&client).await, audit::mark());
    let outcome = AssertUnwindSafe(async {
        installation.apply(with_more_rights()).await;
        let status = installation.until(120, Health::Healthy, |_| true).await;
        println!("{status}");
        let roles = cluster::dynamic(&client, "rbac.authorization.k8s.io/v1", "ClusterRole", None);
        let role = roles
            .get("istiod-clusterrole-istio-system")
            .await
            .expect("a role");
        let rules = role.data["rules"].to_string();
        for granted in [
            "virtualservices/status",
            "example.com/signer",
            "certificatesigningrequests/approval",
        ] {
            assert!(rules.contains(granted), "{granted}: {rules}");
        }
        assert_eq!(refused_writes(mark), []);
        let now = refusals(&client).await;
        assert!(now.iter().all(|line| before.contains(line)), "{now:#?}");

        installation.apply(with_trust_bundle()).await;
        // Nobody here keeps that store, so new gateways wait for a root, those before them serve on, and status says why.
        let told = |status: &Value| {
            let unsupported = &condition(status, "Unsupported")["message"];
            unsupported
                .to_string()
                .contains("ENABLE_CLUSTER_TRUST_BUNDLE_API")
                && condition(status, "PilotReady")["status"] == "True"
                && condition(status, "IngressGatewaysReady")["reason"] == "WaitingForWorkloads"
        };
        let status = installation.until(120, Health::Progressing, told).await;
        println!("{status}");
        assert_eq!(refused_writes(mark), []);
        let now = refusals(&client).await;
        assert!(now.iter().all(|line| before.contains(line)), "{now:#?}");
    });
    let outcome = outcome.catch_unwind().await;
    installation.apply(mesh::sample()).await;
    installation.until(120, Health::Healthy, |_| true).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}
