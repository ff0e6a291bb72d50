//! An installation that is as it should be costs the API server nothing, counted in its own audit log.

use std::time::Duration;

use e2e::{audit, cluster, eventually::eventually, mesh, namespace, operator};
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::json;

/// Every write of the operator since `mark`, its Leases among them.
pub(crate) async fn of_operator(client: &Client, mark: u64) -> Vec<audit::Write> {
    let (user, _) = operator::identity(&operator::place(client).await);
    let mut writes = audit::since(mark);
    writes.retain(|write| write.user == user);
    writes
}

/// What the operator wrote since `mark` that an installation is made of, or its status.
pub(crate) async fn by_operator(client: &Client, mark: u64) -> Vec<audit::Write> {
    let mut writes = of_operator(client, mark).await;
    // Where it hosts the control plane, that one's writes are the operator's too.
    writes.retain(|write| !write.is_lease() && !write.is_told_to_users());
    writes
}

/// Waits until what earlier cases left to do is done: status counts the namespaces that hold the root, so it is
/// written once more when theirs are gone.
pub(crate) async fn settled(client: &Client) {
    mesh::wait_until_healthy(client).await;
    eventually(client, "the operator rests", 90, || async {
        namespace::none_is_ending(client).await?;
        let mark = audit::mark();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let written = by_operator(client, mark).await;
        written
            .is_empty()
            .then_some(())
            .ok_or(format!("{written:?}"))
    })
    .await;
}

#[tokio::test]
async fn nothing_is_written_for_an_unchanged_resource_in_a_minute() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    settled(&client).await;
    let mark = audit::mark();
    for step in 0..3 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        // A change that means nothing brings a pass over the resource.
        let touch = json!({"metadata": {"annotations": {"e2e/touched": step.to_string()}}});
        mesh::operators(&client)
            .patch(mesh::NAME, &PatchParams::default(), &Patch::Merge(touch))
            .await
            .expect("an annotation");
    }
    let all = audit::since(mark);
    assert!(
        all.iter()
            .any(|write| write.uri.contains("/istiooperators/")),
        "the log shows the touches: {all:?}"
    );
    let written = by_operator(&client, mark).await;
    assert!(written.is_empty(), "{written:#?}");
}
