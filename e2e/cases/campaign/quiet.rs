//! An installation that is as it should be costs the API server nothing, over ten minutes in which the operator looks
//! at everything three times.

use std::time::Duration;

use e2e::namespace::Namespace;
use e2e::{audit, cluster, http, mesh, operator};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::writes::{by_operator, of_operator, settled};

const WATCHED: Duration = Duration::from_secs(600);
/// Three times this is less than [`WATCHED`].
const RESYNC: Duration = Duration::from_secs(180);

/// Gives the operator these arguments, none to take them away again, and waits until it runs with them.
async fn start_with(place: &Namespace, arguments: Value) {
    let container = json!({"name": operator::NAME, "args": arguments});
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    let deployments = cluster::dynamic(&place.client, "apps/v1", "Deployment", Some(&place.name));
    deployments
        .patch(
            operator::NAME,
            &PatchParams::default(),
            &Patch::Strategic(patch),
        )
        .await
        .expect("the operator's Deployment");
    // Until the one before is gone: it may write as long as it runs.
    operator::with_replicas(&place.client, 1, async |_| {}).await;
}

/// How many passes there were over IstioOperators, by the operator's own count.
async fn passes(place: &Namespace) -> u64 {
    let pods = place
        .pods_by("app.kubernetes.io/name", operator::NAME)
        .await;
    let address = pods[0]
        .status
        .as_ref()
        .and_then(|status| status.pod_ip.clone());
    let address = format!("{}:8383", address.expect("an address"));
    let page = http::get(&address, "operator", "/metrics")
        .await
        .expect("metrics")
        .body;
    let count = page
        .lines()
        .filter(|line| line.starts_with("istio_install_operator_reconcile_request_total"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    count.sum()
}

#[tokio::test]
async fn nothing_is_written_for_an_unchanged_resource_in_ten_minutes_with_three_resyncs() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let place = operator::place(&client).await;
    start_with(&place, json!([format!("--resync={}", RESYNC.as_secs())])).await;
    settled(&client).await;
    let (mark, before) = (audit::mark(), passes(&place).await);
    tokio::time::sleep(WATCHED).await;
    let passes = passes(&place).await - before;
    let (all, written) = (audit::since(mark), by_operator(&client, mark).await);
    let beats = of_operator(&client, mark).await;
    start_with(&place, Value::Null).await;
    println!(
        "{} s: {passes} passes over one IstioOperator, {} writes by the operator beside its Leases, {} by anyone",
        WATCHED.as_secs(),
        written.len(),
        all.len()
    );
    assert!(passes >= 3, "{passes} passes");
    // The log is the right one: Leases are in it.
    assert!(
        beats.iter().any(audit::Write::is_lease),
        "no heartbeat in {} writes",
        all.len()
    );
    assert!(written.is_empty(), "{written:#?}");
}
