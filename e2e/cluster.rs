//! The cluster under test, named by the environment variable `FERROSAIL_KUBECONFIG` and by nothing
//! else: an ambient KUBECONFIG is never used.

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Api, Client, Config, ResourceExt};
use serde_json::Value;

use crate::statuses;

/// What objects that cases apply are written as.
pub const FIELD_MANAGER: &str = "e2e";

/// A client of its own for each case: connections belong to the runtime that made them.
pub async fn client() -> Client {
    // The first case installs it, the others find it installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let path = std::env::var("FERROSAIL_KUBECONFIG").expect(
        "FERROSAIL_KUBECONFIG names no kubeconfig; `make test` starts a cluster and sets it",
    );
    let kubeconfig = Kubeconfig::read_from(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    statuses::watch(&config);
    Client::try_from(config).expect("a client from a kubeconfig")
}

/// The plural by which the API serves the kinds that cases apply.
fn resource(object: &DynamicObject) -> ApiResource {
    let types = object.types.as_ref().expect("an object names its kind");
    let kind = GroupVersionKind::try_from(types).expect("apiVersion and kind");
    ApiResource::from_gvk(&kind)
}

/// The API for objects of one kind, in a namespace or in the whole cluster.
pub fn dynamic(
    client: &Client,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// What `kubectl apply --server-side` does with one object.
///
/// # Errors
/// Whatever the API server answers.
pub async fn apply(client: &Client, object: Value) -> Result<DynamicObject, kube::Error> {
    let object: DynamicObject = serde_json::from_value(object).expect("a Kubernetes object");
    let resource = resource(&object);
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.patch(
        &object.name_any(),
        &PatchParams::apply(FIELD_MANAGER).force(),
        &Patch::Apply(&object),
    )
    .await
}

/// Documents of a YAML file below the workspace's root.
pub fn documents(path: &str) -> Vec<Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
