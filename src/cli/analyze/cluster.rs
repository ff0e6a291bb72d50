//! The objects of a cluster that verbs look at. What is forbidden, or not served, is left out and named on
//! standard error.

use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use serde_json::Value;

use super::files::Located;
use crate::cluster::{Cluster, told};

/// Kinds of Kubernetes, with versions.
const KUBERNETES: [(&str, &str, &str); 13] = [
    ("", "v1", "Namespace"),
    ("", "v1", "Node"),
    ("", "v1", "Pod"),
    ("", "v1", "Service"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Secret"),
    ("apps", "v1", "Deployment"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
    (
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
    ),
    ("gateway.networking.k8s.io", "v1", "Gateway"),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute"),
    ("gateway.networking.k8s.io", "v1", "GRPCRoute"),
];
/// At a time.
const PAGE: u32 = 500;

pub(super) async fn objects(cluster: Cluster) -> Result<Vec<Located>, String> {
    listed(&cluster, KUBERNETES.into_iter().chain(ours())).await
}

/// Group, version and kind of all kinds of Istio.
pub(crate) fn ours() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    api::crds::definitions().iter().map(|definition| {
        let text = |pointer: &str| {
            definition
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        (
            text("/spec/group"),
            text("/spec/versions/0/name"),
            text("/spec/names/kind"),
        )
    })
}

/// How the API server serves a kind.
pub(crate) fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// All objects of these kinds.
pub(crate) async fn listed(
    cluster: &Cluster,
    kinds: impl Iterator<Item = (&str, &str, &str)>,
) -> Result<Vec<Located>, String> {
    let mut objects = Vec::new();
    for (group, version, kind) in kinds {
        let resource = resource(group, version, kind);
        let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource);
        match all(&api).await {
            Ok(found) => objects.extend(found.into_iter().map(|object| located(object, &resource))),
            // Not installed there.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(kube::Error::Api(status)) if status.code == 403 => {
                eprintln!("left out: {}", status.message)
            }
            Err(error) => return Err(format!("listing {}: {}", resource.plural, told(&error))),
        }
    }
    Ok(objects)
}

async fn all(api: &Api<DynamicObject>) -> kube::Result<Vec<DynamicObject>> {
    let mut objects = Vec::new();
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&parameters).await?;
        objects.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

/// Items of a list do not say what they are.
pub(crate) fn located(mut object: DynamicObject, resource: &ApiResource) -> Located {
    object.metadata.managed_fields = None;
    object.types.get_or_insert_with(|| kube::core::TypeMeta {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
    });
    let object = serde_json::to_value(object).unwrap_or_default();
    Located {
        object,
        place: String::new(),
    }
}
