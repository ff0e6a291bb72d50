//! Kubernetes' own Ingresses: the mesh's are served by its ingress gateway and say where that is reached, as the mesh
//! configuration has it; those of others are left alone.

use e2e::argocd::Health;
use e2e::installation::Installation;
use e2e::{cluster, eventually::eventually, http, mesh, namespace, workload, workload::Workload};
use kube::Client;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::alone;

const KIND: (&str, &str) = ("networking.k8s.io/v1", "Ingress");
/// An IngressClass is of the whole cluster.
const CLASS: &str = "e2e-mesh";
const HOST: &str = "ingress.traffic.example";
const OTHER: &str = "other.ingress.traffic.example";

fn ingress(name: &str, class: &str, host: &str) -> Value {
    let backend = json!({"service": {"name": "echo", "port": {"number": workload::HTTP}}});
    let paths = json!([{"path": "/shop", "pathType": "Prefix", "backend": backend}]);
    json!({
        "apiVersion": KIND.0, "kind": KIND.1, "metadata": {"name": name},
        "spec": {"ingressClassName": class, "rules": [{"host": host, "http": {"paths": paths}}]},
    })
}

/// What an Ingress says of where it is reached.
async fn addresses(client: &Client, namespace: &str, name: &str) -> Result<Vec<String>, String> {
    let api = cluster::dynamic(client, KIND.0, KIND.1, Some(namespace));
    let object = api.get(name).await.map_err(|error| error.to_string())?;
    let entries = object.data["status"]["loadBalancer"]["ingress"].as_array();
    let entries = entries.into_iter().flatten();
    let named = entries.filter_map(|entry| entry["ip"].as_str().or(entry["hostname"].as_str()));
    Ok(named.map(str::to_owned).collect())
}

async fn reached(client: &Client, namespace: &str, name: &str, seconds: u64, expected: &[String]) {
    let what = format!("{namespace}/{name} is reached at {expected:?}");
    let (_, took) = eventually(client, &what, seconds, || async {
        let found = addresses(client, namespace, name).await?;
        (found == expected)
            .then_some(())
            .ok_or_else(|| format!("{found:?}"))
    })
    .await;
    println!("{what}: after {took:?}");
}

#[tokio::test]
async fn an_ingress_of_the_meshs_class_is_served_and_says_where() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let class = json!({
        "apiVersion": KIND.0, "kind": "IngressClass", "metadata": {"name": CLASS},
        "spec": {"controller": "istio.io/ingress-controller"},
    });
    cluster::apply(&client, class).await.expect("a class");
    namespace::injected(&client, "traffic-ingress-class", async |place| {
        place.apply(alone()).await;
        place.apply(ingress("ours", CLASS, HOST)).await;
        place.apply(ingress("theirs", "e2e-nobody", OTHER)).await;
        place.deploy(&[Workload::echo("echo", "v1")]).await;
        let address = mesh::ingress(&client).await;
        let expected = [address.clone()];
        reached(&client, &place.name, "ours", 30, &expected).await;
        let at = format!("{address}:80");
        let (_, took) = eventually(&client, "the Ingress is served", 30, || async {
            // Often enough to meet every replica of the gateway.
            for _ in 0..8 {
                let answer = http::get(&at, HOST, "/shop/cart").await?;
                if answer.status != 200 || !answer.body.contains("\"version\":\"v1\"") {
                    return Err(format!("{answer:?}"));
                }
            }
            Ok(())
        })
        .await;
        println!("an Ingress is served after {took:?}");
        for (host, path) in [(HOST, "/other"), (OTHER, "/shop/cart")] {
            let answer = http::get(&at, host, path).await.expect("an answer");
            assert_eq!(answer.status, 404, "{host}{path}: {answer:?}");
        }
        let theirs = addresses(&client, &place.name, "theirs").await;
        assert_eq!(theirs, Ok(Vec::new()));

        place.apply(ingress("theirs", CLASS, OTHER)).await;
        reached(&client, &place.name, "theirs", 30, &expected).await;
        place.delete(KIND.0, KIND.1, "ours").await;
        eventually(
            &client,
            "a deleted Ingress is served no more",
            30,
            || async {
                for _ in 0..8 {
                    let answer = http::get(&at, HOST, "/shop/cart").await?;
                    if answer.status != 404 {
                        return Err(format!("{answer:?}"));
                    }
                }
                Ok(())
            },
        )
        .await;
    })
    .await;
    let classes = cluster::dynamic(&client, KIND.0, "IngressClass", None);
    let deleted = classes.delete(CLASS, &DeleteParams::default()).await;
    deleted.expect("the class was there");
}

#[tokio::test]
async fn an_ingress_is_reached_where_the_mesh_configuration_says() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let installation = Installation::sample(&client);
    let sample = mesh::sample();
    namespace::plain(&client, "traffic-ingress-service", async |place| {
        let mut own = ingress("ours", "unused", HOST);
        // By the old annotation, which is instead of a class.
        own["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": "istio"});
        let spec = own["spec"].as_object_mut().expect("a spec");
        spec.remove("ingressClassName");
        place.apply(own).await;
        let address = [mesh::ingress(&client).await];
        reached(&client, &place.name, "ours", 30, &address).await;
        // A Service that is not there has no address; one within the cluster has none either.
        for service in ["e2e-nobody", "istio-egressgateway"] {
            let mut spec = sample.clone();
            spec["meshConfig"]["ingressService"] = json!(service);
            installation.apply(spec).await;
            reached(&client, &place.name, "ours", 60, &[]).await;
            installation.apply(sample.clone()).await;
            reached(&client, &place.name, "ours", 60, &address).await;
        }
        installation.until(60, Health::Healthy, |_| true).await;
    })
    .await;
}
