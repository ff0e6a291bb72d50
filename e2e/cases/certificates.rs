//! One root certificate, in the CA's secret and in every namespace, kept there.

use e2e::{cluster, eventually::eventually, mesh};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

/// Seconds: how soon is nothing that is promised, and other cases have the processors too.
const LIMIT: u64 = 30;

async fn secret(client: &Client) -> Secret {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    secrets
        .get(base::names::CA_SECRET)
        .await
        .expect("the CA's secret")
}

fn entry(secret: &Secret, key: &str) -> String {
    let bytes = &secret.data.as_ref().expect("data")[key].0;
    String::from_utf8(bytes.clone()).expect("PEM is text")
}

async fn root_of(client: &Client, namespace: &str) -> Result<String, String> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = maps
        .get(base::names::ROOT_CERT_CONFIG_MAP)
        .await
        .map_err(|error| error.to_string())?;
    let data = map.data.unwrap_or_default();
    data.get(base::names::ROOT_CERT_KEY)
        .cloned()
        .ok_or_else(|| format!("keys: {:?}", data.keys()))
}

#[tokio::test]
async fn the_secret_has_the_form_that_upstream_reads() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let secret = secret(&client).await;
    assert_eq!(secret.type_.as_deref(), Some("istio.io/ca-root"));
    assert_eq!(
        entry(&secret, "ca-cert.pem"),
        entry(&secret, "root-cert.pem")
    );
    assert!(entry(&secret, "ca-cert.pem").starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(entry(&secret, "ca-key.pem").starts_with("-----BEGIN RSA PRIVATE KEY-----"));
}

#[tokio::test]
async fn every_namespace_holds_the_root() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let root = entry(&secret(&client).await, "root-cert.pem");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut checked = Vec::new();
    for namespace in namespaces
        .list(&ListParams::default())
        .await
        .expect("namespaces can be listed")
    {
        let name = namespace.name_any();
        let excluded = base::names::NAMESPACES_WITHOUT_ROOT_CERT.contains(&name.as_str());
        if excluded || namespace.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let what = format!("{name} holds the root");
        eventually(&client, &what, LIMIT, || async {
            let found = root_of(&client, &name).await;
            if found.as_ref() == Ok(&root) {
                return Ok(());
            }
            // Those of other cases come and go.
            let now = namespaces.get_opt(&name).await;
            match now.map_err(|error| error.to_string())? {
                Some(now) if now.metadata.deletion_timestamp.is_none() => Err(format!("{found:?}")),
                _ => Ok(()),
            }
        })
        .await;
        checked.push(name);
    }
    for lasting in ["default", mesh::NAMESPACE] {
        assert!(checked.iter().any(|name| name == lasting), "{checked:?}");
    }
}

#[tokio::test]
async fn a_new_namespace_gets_the_root_and_keeps_it() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let root = entry(&secret(&client).await, "root-cert.pem");
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "certificates-new"}});
    cluster::apply(&client, namespace)
        .await
        .expect("a namespace");
    let holds = async || {
        let found = root_of(&client, "certificates-new").await?;
        (found == root).then_some(()).ok_or(found)
    };
    let (_, took) = eventually(&client, "the new namespace holds the root", LIMIT, &holds).await;
    println!("root in a new namespace after {took:?}");

    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "certificates-new");
    let edit = json!({"data": {base::names::ROOT_CERT_KEY: "edited", "foreign": "kept"}});
    maps.patch(
        base::names::ROOT_CERT_CONFIG_MAP,
        &PatchParams::default(),
        &Patch::Merge(edit),
    )
    .await
    .expect("an edit");
    eventually(&client, "the edit is undone", LIMIT, &holds).await;
    let data = maps
        .get(base::names::ROOT_CERT_CONFIG_MAP)
        .await
        .expect("it exists")
        .data
        .unwrap_or_default();
    assert_eq!(data.get("foreign").map(String::as_str), Some("kept"));

    maps.delete(base::names::ROOT_CERT_CONFIG_MAP, &DeleteParams::default())
        .await
        .expect("a deletion");
    eventually(&client, "the deletion is undone", LIMIT, &holds).await;

    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .delete("certificates-new", &DeleteParams::default())
        .await
        .expect("the namespace can be deleted");
}
