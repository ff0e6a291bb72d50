//! Requests to a host outside leave the mesh by the egress gateway.

use e2e::{
    cluster, eventually::eventually, load, mesh, namespace, namespace::Namespace, sidecar,
    workload::Workload,
};
use kube::ResourceExt;
use serde_json::json;

use super::{CLIENT, alone, becomes, rule};
use crate::egress::Name;

const HOST: &str = "outside.traffic.example";
const URL: &str = "http://outside.traffic.example/by-the-gateway";
const GATEWAY: &str = "istio-egressgateway.istio-system.svc.cluster.local";

#[tokio::test]
async fn a_host_outside_is_reached_through_the_egress_gateway() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "traffic-egress", async |place| {
        let outside = place.beside("traffic-outside", json!({})).await;
        let server = Workload::echo("server", "outside");
        outside.apply(server.account()).await;
        outside.apply(server.deployment()).await;
        place.apply(alone()).await;
        place.deploy(&[Workload::client(CLIENT)]).await;
        outside.rolled_out(&server.name).await;
        let pod = outside.pods_of("server").await.remove(0);
        let address = pod
            .status
            .and_then(|status| status.pod_ip)
            .expect("an address");
        let _name = Name::new(HOST, &address);

        place
            .apply(rule("ServiceEntry", "outside", json!({
                "hosts": [HOST], "location": "MESH_EXTERNAL", "resolution": "STATIC",
                "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8080}],
                "endpoints": [{"address": address}],
            })))
            .await;
        becomes(
            place,
            "outside answers directly",
            URL,
            &[],
            load::Load::is_clean,
        )
        .await;
        assert!(
            passed(place, URL).await.is_err(),
            "a direct request went through the gateway"
        );

        through_the_gateway(place).await;
        let url = format!("{URL}-now");
        eventually(&client, "the egress gateway passes it on", 30, || async {
            let load = load::load(place, CLIENT, &url, &["--requests", "5"]).await?;
            if !load.is_clean() {
                return Err(format!("{load:?}"));
            }
            passed(place, &url).await
        })
        .await;
    })
    .await;
}

/// In the forms of the tutorial: one route from sidecars to the gateway, one from the gateway to the host.
async fn through_the_gateway(place: &Namespace) {
    let port = json!({"number": 80, "name": "http", "protocol": "HTTP"});
    place
        .apply(rule("Gateway", "istio-egressgateway", json!({
            "selector": {"istio": "egressgateway"}, "servers": [{"port": port, "hosts": [HOST]}],
        })))
        .await;
    place
        .apply(rule(
            "DestinationRule",
            "egressgateway-for-outside",
            json!({
                "host": GATEWAY, "subsets": [{"name": "outside"}],
            }),
        ))
        .await;
    let http = json!([
        {"match": [{"gateways": ["mesh"], "port": 80}],
         "route": [{"destination": {"host": GATEWAY, "subset": "outside", "port": {"number": 80}}, "weight": 100}]},
        {"match": [{"gateways": ["istio-egressgateway"], "port": 80}],
         "route": [{"destination": {"host": HOST, "port": {"number": 80}}, "weight": 100}]},
    ]);
    place
        .apply(rule(
            "VirtualService",
            "outside-through-egress-gateway",
            json!({
                "hosts": [HOST], "gateways": ["istio-egressgateway", "mesh"], "http": http,
            }),
        ))
        .await;
}

/// Whether a gateway logged a request for this URL, which it passed on to the host itself.
async fn passed(place: &Namespace, url: &str) -> Result<(), String> {
    let gateways = place.sibling(mesh::NAMESPACE);
    let path = url.rsplit('/').next().unwrap_or_default();
    let path = format!("/{path} ");
    let cluster = format!("outbound|80||{HOST}");
    let mut last = String::new();
    for pod in gateways.pods_of("istio-egressgateway").await {
        let parts = [path.as_str(), HOST, cluster.as_str(), " 200 "];
        match sidecar::access_log(&gateways, &pod.name_any(), parts).await {
            Ok(_) => return Ok(()),
            Err(why) => last = why,
        }
    }
    Err(last)
}
