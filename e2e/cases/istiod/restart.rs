//! An operator that starts anew writes nothing that stands already.

use e2e::{audit, cluster, eventually::eventually, mesh};
use kube::api::{DeleteParams, ListParams};

use crate::writes::{by_operator, settled};

#[tokio::test]
async fn nothing_is_written_after_the_operator_was_started_anew() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    settled(&client).await;
    let pods = cluster::dynamic(&client, "v1", "Pod", Some("istio-operator"));
    let mark = audit::mark();
    let params = ListParams::default();
    for pod in pods.list(&params).await.expect("pods can be listed") {
        let name = pod.metadata.name.expect("a name");
        pods.delete(&name, &DeleteParams::default())
            .await
            .expect("a pod can be deleted");
    }
    // An object that is deleted comes back when the new process reconciles, and that is all it writes.
    let budgets = cluster::dynamic(
        &client,
        "policy/v1",
        "PodDisruptionBudget",
        Some(mesh::NAMESPACE),
    );
    let before = budgets.get("istiod").await.expect("a budget").metadata.uid;
    budgets
        .delete("istiod", &DeleteParams::default())
        .await
        .expect("it can be deleted");
    eventually(&client, "the new process reconciles", 60, || async {
        let now = budgets
            .get_opt("istiod")
            .await
            .map_err(|error| error.to_string())?;
        match now {
            Some(now) if now.metadata.uid != before => Ok(()),
            _ => Err("the budget is not back".to_owned()),
        }
    })
    .await;
    mesh::wait_until_healthy(&client).await;
    let written = by_operator(&client, mark).await;
    let of = |part: &str| {
        written
            .iter()
            .filter(|write| write.uri.contains(part))
            .count()
    };
    assert!(of("/poddisruptionbudgets/istiod") >= 1, "{written:#?}");
    let others: Vec<_> = written
        .iter()
        .filter(|write| {
            ![
                "/poddisruptionbudgets/istiod",
                "/configmaps/istio-operator-inventory-",
                "/istiooperators/",
                "/events",
            ]
            .iter()
            .any(|known| write.uri.contains(known))
        })
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}
