//! The ingress gateway can be reached from outside.

use e2e::{cluster, eventually::eventually, http, mesh};

#[tokio::test]
async fn the_ingress_gateway_answers_at_its_load_balancer_address() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let address = format!("{}:15021", mesh::ingress(&client).await);
    eventually(&client, "200 from the gateway", 30, || async {
        match http::get(&address, "e2e", "/healthz/ready").await? {
            http::Answer { status: 200, .. } => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
