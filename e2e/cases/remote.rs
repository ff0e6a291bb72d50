//! A cluster whose control plane runs elsewhere: how it is reached from here, and nothing that belongs to the other side.

use e2e::argocd::Health;
use e2e::installation::{Installation, condition};
use e2e::inventory::{self, Inventory};
use e2e::{cluster, mesh, namespace};
use kube::api::ListParams;
use serde_json::{Value, json};

/// Addresses for documentation, at which nobody is.
const ADDRESSES: [&str; 2] = ["192.0.2.15", "192.0.2.16"];

fn remote(namespace: &str, address: &str) -> Value {
    json!({
        "profile": "remote",
        "revision": "elsewhere",
        "values": {"global": {"istioNamespace": namespace, "remotePilotAddress": address}},
    })
}

#[tokio::test]
async fn a_control_plane_elsewhere_is_reached_by_its_address() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::plain(&client, "remote", async |place| {
        let installation = Installation::new(&client, &place.name, "remote");
        let services = cluster::dynamic(&client, "v1", "Service", Some(&place.name));
        let slices = cluster::dynamic(
            &client,
            "discovery.k8s.io/v1",
            "EndpointSlice",
            Some(&place.name),
        );
        for address in ADDRESSES {
            installation.apply(remote(&place.name, address)).await;
            let status = installation.until(60, Health::Healthy, |_| true).await;
            assert_eq!(
                condition(&status, "PilotReady")["status"],
                "True",
                "{status}"
            );
            assert!(
                condition(&status, "CAHealthy").is_null(),
                "the CA is elsewhere as well: {status}"
            );
            let all = services
                .list(&ListParams::default())
                .await
                .expect("Services")
                .items;
            let [service] = all.as_slice() else {
                panic!("one Service, not {all:?}");
            };
            assert!(service.data["spec"]["selector"].is_null(), "{service:?}");
            let name = service.metadata.name.clone().expect("a name");
            let label = format!("kubernetes.io/service-name={name}");
            let of_service = ListParams::default().labels(&label);
            let all = slices.list(&of_service).await.expect("slices").items;
            let endpoints: Vec<_> = all.iter().map(|slice| &slice.data["endpoints"]).collect();
            assert!(
                endpoints.len() == 1 && endpoints[0][0]["addresses"] == json!([address]),
                "{endpoints:?}"
            );
            for port in [15012, 15017] {
                let ports = all[0].data["ports"].as_array().into_iter().flatten();
                assert!(
                    ports.into_iter().any(|one| one["port"] == port),
                    "{port}: {}",
                    all[0].data
                );
            }
        }
        for (kind, name) in [
            ("Secret", base::names::CA_SECRET),
            ("Deployment", "istiod-elsewhere"),
        ] {
            let version = if kind == "Secret" { "v1" } else { "apps/v1" };
            let api = cluster::dynamic(&client, version, kind, Some(&place.name));
            let found = api.get_opt(name).await.expect("an answer");
            assert!(found.is_none(), "{kind} {name} has no place here");
        }

        let mut own = Inventory::of(&client, &place.name, "remote").await.own;
        own.retain(|object| object.kind != "CustomResourceDefinition");
        assert!(own.len() > 5, "{own:?}");
        let took = installation.delete(60).await;
        println!("gone after {took:?}");
        let left = inventory::standing(&client, &own).await.expect("an answer");
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
    mesh::wait_until_healthy(&client).await;
}
