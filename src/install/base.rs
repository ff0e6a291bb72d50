//! The Base component: the CRDs of Istio's kinds and what all control planes of a cluster share.
//! The texts of the CRDs are `api::crds`.

use k8s_openapi::api::core::v1::ServiceAccount;
use serde_json::Value;

use crate::labels::{self, metadata, with};
use crate::pod::pull_secrets;
use crate::resolve::Base;
use crate::{Install, Object, validation};
use ::base::labels::REVISION;

/// ServiceAccount whose token lets another cluster's control plane read this one.
pub(crate) const READER: &str = "istio-reader-service-account";

/// The CustomResourceDefinitions of Istio's own kinds, by group and name.
pub fn istio_crds() -> Vec<Value> {
    api::crds::definitions().to_vec()
}

/// All objects of the component.
pub(crate) fn build(base: &Base, install: &Install) -> Vec<Object> {
    let values = &base.values;
    let global = &values.global;
    let mut objects = Vec::new();
    if global.cluster_wide() {
        let crds = &values.base;
        let wanted = [crds.enable_crd_templates, crds.enable_istio_config_crds];
        if !wanted.contains(&Some(false)) {
            let all = istio_crds().into_iter().map(Object::from_value);
            objects.extend(all.filter(|crd| !crds.excluded_crds.contains(&crd.reference.name)));
        }
        if !values.default_revision.is_empty() {
            objects.push(default_validator(base, install));
        }
    }
    let reader = &global.reader_service_account.name;
    if global.namespaced() && global.enable_reader_rbac != Some(false) && reader.is_empty() {
        let labels = with(
            labels::released("istio-reader", install),
            [("app", "istio-reader")],
        );
        objects.push(Object::of(&ServiceAccount {
            metadata: metadata(READER, &global.istio_namespace, labels),
            image_pull_secrets: pull_secrets(&global.image_pull_secrets),
            ..Default::default()
        }));
    }
    objects
}

/// Validation of the objects that name no revision, by the revision that is the cluster's default.
fn default_validator(base: &Base, install: &Install) -> Object {
    let values = &base.values;
    let revision = values.default_revision.as_str();
    let istiod = match revision {
        "default" => "istiod".to_owned(),
        revision => format!("istiod-{revision}"),
    };
    let labels = with(
        labels::released("istiod", install),
        [("app", "istiod"), ("istio", "istiod"), (REVISION, revision)],
    );
    Object::of(&validation::configuration(
        metadata("istiod-default-validator", "", labels),
        "validation.istio.io",
        (istiod, &values.global.istio_namespace),
        &values.base,
        None,
    ))
}
