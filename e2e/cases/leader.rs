//! Two operators, of which one leads: when that one goes, or holds still, the other takes over, and they never fight.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use e2e::inventory::Inventory;
use e2e::namespace::Namespace;
use e2e::node::Process;
use e2e::{audit, cluster, eventually::eventually, mesh, operator};
use kube::Client;
use kube::api::{DeleteParams, DynamicObject};
use kube::{Api, ResourceExt};

use crate::writes::settled;

const BUDGET: &str = "istio-egressgateway";

fn budgets(client: &Client) -> Api<DynamicObject> {
    cluster::dynamic(
        client,
        "policy/v1",
        "PodDisruptionBudget",
        Some(mesh::NAMESPACE),
    )
}

/// Deletes the budget, and waits until another stands in its place.
async fn drift(client: &Client, seconds: u64) -> (DynamicObject, Duration) {
    let budgets = budgets(client);
    let before = budgets.get(BUDGET).await.expect("it is installed").uid();
    budgets
        .delete(BUDGET, &DeleteParams::default())
        .await
        .expect("it can be deleted");
    eventually(client, "the budget is back", seconds, || async {
        match budgets.get_opt(BUDGET).await {
            Ok(Some(now)) if now.uid() != before => Ok(now),
            Ok(_) => Err("it is not".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}

/// What an operator says of an object, and which one it is. Its status is its controller's.
fn installed_of(object: &DynamicObject) -> impl PartialEq + std::fmt::Debug {
    let metadata = &object.metadata;
    let said = (metadata.labels.clone(), metadata.annotations.clone());
    let spec = object.data["spec"].clone();
    (metadata.uid.clone(), metadata.generation, said, spec)
}

async fn another_leader(place: &Namespace, before: &str) -> String {
    let (leader, _) = eventually(&place.client, "another leads", 30, || async {
        let leader = operator::leader(place).await?;
        match leader == before {
            true => Err(format!("{before} still leads")),
            false => Ok(leader),
        }
    })
    .await;
    leader
}

/// How often each of the `installed` objects was written since `mark` by an operator, and by which pods. Where it hosts
/// the control plane, that one writes too, under other Leases: into the webhooks that are installed, and elsewhere.
fn written(mark: u64, installed: &BTreeSet<String>) -> BTreeMap<String, Vec<String>> {
    let mut written: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for write in audit::since(mark) {
        let by_operator = write.pod.starts_with(operator::NAME)
            && !write.uri.contains("fieldManager=istio-discovery");
        if by_operator && write.code < 300 && installed.contains(write.path()) {
            let path = write.path().to_owned();
            written.entry(path).or_default().push(write.pod);
        }
    }
    written
}

/// Asserts that the budget was repaired once, and that nothing else of what is installed was written. Where it is known
/// `by` whom: by the first of these, and the others may confirm it, once each. A leader that is about to end may repair
/// it still, and the next one, which has not heard of that, confirm it; so may one that held still, before it looks at
/// the time.
async fn assert_one_repair(
    client: &Client,
    mark: u64,
    installed: &BTreeSet<String>,
    by: Option<&[&str]>,
) {
    // A write is in the log a moment after it was answered.
    let what = "the repair is in the audit log";
    let (written, _) = eventually(client, what, 10, || async {
        let written = written(mark, installed);
        match written.is_empty() {
            true => Err("no write of what is installed".to_owned()),
            false => Ok(written),
        }
    })
    .await;
    let of_budget: Vec<&str> = written
        .iter()
        .filter(|(path, _)| path.ends_with(&format!("/poddisruptionbudgets/{BUDGET}")))
        .flat_map(|(_, pods)| pods.iter().map(String::as_str))
        .collect();
    let once_each = of_budget.iter().collect::<BTreeSet<_>>().len() == of_budget.len();
    assert!(written.len() == 1 && once_each, "{written:#?}");
    assert!(
        by.is_none_or(|by| by.starts_with(&of_budget)),
        "{written:#?}, not by {by:?}"
    );
}

#[tokio::test]
async fn when_the_leader_goes_or_holds_still_another_takes_over_and_they_do_not_fight() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    settled(&client).await;
    let installed = Inventory::of(&client, mesh::NAMESPACE, mesh::NAME).await;
    let installed = installed.paths(&client);
    operator::with_replicas(&client, 2, async |place| {
        // One that ends gives the Lease up.
        let (first, _) =
            eventually(&client, "an operator leads", 30, || operator::leader(place)).await;
        let mark = audit::mark();
        place
            .pods()
            .delete(&first, &DeleteParams::default())
            .await
            .expect("a pod can be deleted");
        let (_, took) = drift(&client, 20).await;
        println!("the leader ended: repaired after {took:?}");
        let second = another_leader(place, &first).await;
        place.rolled_out(operator::NAME).await;
        mesh::wait_until_healthy(&client).await;
        assert_one_repair(&client, mark, &installed, None).await;

        // One that holds still keeps it until it runs out.
        let still = Process::operator(&second).hold();
        let mark = audit::mark();
        let (repaired, took) = drift(&client, 40).await;
        println!("the leader held still: repaired after {took:?}");
        let third = another_leader(place, &second).await;
        settled(&client).await;
        let status = mesh::operators(&client)
            .get(mesh::NAME)
            .await
            .expect("it is there");

        // It goes on, with a picture of the cluster that is old by now, and steps back.
        drop(still);
        eventually(&client, "the old leader has noticed", 20, || async {
            let log = operator::log(place, &second).await;
            let last = log
                .lines()
                .rev()
                .find(|line| line.contains("leadership changed"));
            match last.is_some_and(|line| line.contains("leads=false")) {
                true => Ok(()),
                false => Err(format!("{last:?}")),
            }
        })
        .await;
        let now = budgets(&client).get(BUDGET).await.expect("a budget");
        assert_eq!(
            installed_of(&now),
            installed_of(&repaired),
            "it was changed"
        );
        let now = mesh::operators(&client)
            .get(mesh::NAME)
            .await
            .expect("it is there");
        assert_eq!(now.data["status"], status.data["status"], "status flaps");
        let by = [third.as_str(), second.as_str()];
        assert_one_repair(&client, mark, &installed, Some(&by)).await;

        let mark = audit::mark();
        let (_, took) = drift(&client, 20).await;
        println!("two again: repaired after {took:?}");
        mesh::wait_until_healthy(&client).await;
        assert_one_repair(&client, mark, &installed, Some(&[third.as_str()])).await;
    })
    .await;
    mesh::wait_until_healthy(&client).await;
}
