//! The operator, ended at every write there is: of gateways, and of the whole sample.

use e2e::intercept::Cut;
use e2e::{cluster, mesh, operator};

use crate::istiod::kills::{Trials, of_gateways, run};

fn both(number: usize) -> Vec<Cut> {
    vec![Cut::Before(number), Cut::After(number)]
}

#[tokio::test]
async fn gateways_stand_whichever_write_the_operator_ended_at() {
    of_gateways("campaign-kills", both).await;
}

#[tokio::test]
async fn the_sample_stands_whichever_write_the_operator_ended_at() {
    let client = cluster::client().await;
    let _mesh = mesh::bare(&client).await;
    operator::with_replicas(&client, 0, async |operator| {
        let spec = mesh::sample();
        let of = (mesh::NAMESPACE, mesh::NAME);
        run(&Trials::of(&client, operator, of, spec).await, both).await;
    })
    .await;
}
