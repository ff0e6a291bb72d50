//! The webhooks that bring pods and Istio's objects to istiod. Their CA bundle, and whether
//! validation may fail a request, are istiod's to write.

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, ServiceReference,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};

use base::labels::REVISION;
use base::names;

use super::Context;
use crate::Object;
use crate::labels::{Labels, metadata, with};
use crate::validation::{client, configuration, rule};
use crate::values::{some, texts};

const INJECTION: &str = "istio-injection";
const INJECT: &str = "sidecar.istio.io/inject";
/// Namespaces whose pods are never injected unless they ask.
const SYSTEM_NAMESPACES: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "local-path-storage",
];

pub(super) fn build(context: Context<'_>) -> Vec<Object> {
    let values = &context.pilot.values;
    let global = &values.global;
    let mut objects = Vec::new();
    if global.config_validation && context.configures() {
        objects.push(validating(context));
    }
    if global.operator_manage_webhooks {
        return objects;
    }
    let labels = with(context.labels(), [("app", "sidecar-injector")]);
    objects.push(mutating(
        context,
        context.install.revisioned("istio-sidecar-injector"),
        labels.clone(),
        context.install.revision_label(),
        context.install.revision.is_empty(),
    ));
    for tag in &values.revision_tags {
        objects.push(tagged(context, &labels, tag));
    }
    objects
}

/// Injection by the name of a tag instead of a revision.
fn tagged(context: Context<'_>, labels: &Labels, tag: &str) -> Object {
    mutating(
        context,
        format!("istio-revision-tag-{tag}"),
        with(labels.clone(), [("istio.io/tag", tag)]),
        tag,
        tag == DEFAULT,
    )
}

/// The tag of the revision that injects and validates where nobody names one.
const DEFAULT: &str = "default";

/// The webhooks of tag `default`, as far as the specification has not asked for them by name.
pub(super) fn of_default_tag(context: Context<'_>) -> Vec<Object> {
    let values = &context.pilot.values;
    let mut objects = Vec::new();
    let labels = with(context.labels(), [("app", "sidecar-injector")]);
    if !values.revision_tags.iter().any(|tag| tag == DEFAULT) {
        objects.push(tagged(context, &labels, DEFAULT));
    }
    let global = &values.global;
    if values.default_revision.is_empty() && global.config_validation && context.configures() {
        let revision = context.install.revision_label();
        let labels = with(
            context.plain_labels(),
            [
                ("istio", "istiod"),
                (REVISION, revision),
                ("istio.io/tag", DEFAULT),
            ],
        );
        objects.push(Object::of(&configuration(
            metadata("istiod-default-validator", "", labels),
            "validation.istio.io",
            (context.name(), &global.istio_namespace),
            &values.base,
            None,
        )));
    }
    objects
}

/// Name of a webhook configuration for injection: that of the usual namespace goes without it.
pub(crate) fn injector(name: &str, namespace: &str) -> String {
    match namespace {
        names::ISTIO_SYSTEM => name.to_owned(),
        namespace => format!("{name}-{namespace}"),
    }
}

fn validating(context: Context<'_>) -> Object {
    let values = &context.pilot.values;
    let namespace = &values.global.istio_namespace;
    let revision = context.install.revision_label();
    let name = format!(
        "{}-{namespace}",
        context.install.revisioned("istio-validator")
    );
    let labels = with(
        context.plain_labels(),
        [("istio", "istiod"), (REVISION, revision)],
    );
    Object::of(&configuration(
        metadata(name, "", labels),
        "rev.validation.istio.io",
        (context.name(), namespace),
        &values.base,
        Some(selector(&[is(REVISION, &[revision])])),
    ))
}

/// Who is injected: by a label of the namespace or of the pod, by revision or by default. Exactly
/// one of these webhooks matches a pod that is to be injected.
fn mutating(
    context: Context<'_>,
    name: String,
    labels: Labels,
    revision: &str,
    by_default: bool,
) -> Object {
    let values = &context.pilot.values;
    let name = injector(&name, &context.pilot.namespace);
    let not_refused = || is_not(INJECT, &["false"]);
    let mut webhooks = vec![
        injection(
            context,
            "rev.namespace.",
            &[is(REVISION, &[revision]), absent(INJECTION)],
            &[not_refused()],
        ),
        injection(
            context,
            "rev.object.",
            &[absent(REVISION), absent(INJECTION)],
            &[not_refused(), is(REVISION, &[revision])],
        ),
    ];
    if by_default {
        webhooks.push(injection(
            context,
            "namespace.",
            &[is(INJECTION, &["enabled"])],
            &[not_refused()],
        ));
        webhooks.push(injection(
            context,
            "object.",
            &[absent(INJECTION), absent(REVISION)],
            &[is(INJECT, &["true"]), absent(REVISION)],
        ));
    }
    if by_default && values.sidecar_injector_webhook.enable_namespaces_by_default {
        webhooks.push(injection(
            context,
            "auto.",
            &[
                absent(INJECTION),
                absent(REVISION),
                is_not("kubernetes.io/metadata.name", &SYSTEM_NAMESPACES),
            ],
            &[absent(INJECT), absent(REVISION)],
        ));
    }
    Object::of(&MutatingWebhookConfiguration {
        metadata: ObjectMeta {
            annotations: texts(&values.sidecar_injector_webhook_annotations),
            ..metadata(name, "", labels)
        },
        webhooks: Some(webhooks),
    })
}

fn injection(
    context: Context<'_>,
    prefix: &str,
    namespaces: &[LabelSelectorRequirement],
    pods: &[LabelSelectorRequirement],
) -> MutatingWebhook {
    let values = &context.pilot.values;
    let remote = &values.istiod_remote;
    let service = ServiceReference {
        name: context.name(),
        namespace: context.pilot.namespace.clone(),
        path: some(&remote.injection_path),
        port: Some(443),
    };
    MutatingWebhook {
        name: format!("{prefix}sidecar-injector.istio.io"),
        admission_review_versions: vec!["v1".to_owned()],
        client_config: client(&remote.injection_url, &remote.injection_ca_bundle, service),
        failure_policy: Some("Fail".to_owned()),
        namespace_selector: Some(selector(namespaces)),
        object_selector: Some(selector(pods)),
        reinvocation_policy: some(&values.sidecar_injector_webhook.reinvocation_policy),
        rules: Some(vec![rule(&["CREATE"], &[""], "v1", "pods")]),
        side_effects: "None".to_owned(),
        ..Default::default()
    }
}

fn selector(requirements: &[LabelSelectorRequirement]) -> LabelSelector {
    LabelSelector {
        match_expressions: Some(requirements.to_vec()),
        ..Default::default()
    }
}

fn is(key: &str, values: &[&str]) -> LabelSelectorRequirement {
    requirement(key, "In", values)
}

fn is_not(key: &str, values: &[&str]) -> LabelSelectorRequirement {
    requirement(key, "NotIn", values)
}

fn absent(key: &str) -> LabelSelectorRequirement {
    requirement(key, "DoesNotExist", &[])
}

fn requirement(key: &str, operator: &str, values: &[&str]) -> LabelSelectorRequirement {
    LabelSelectorRequirement {
        key: key.to_owned(),
        operator: operator.to_owned(),
        values: (!values.is_empty())
            .then(|| values.iter().map(|value| (*value).to_owned()).collect()),
    }
}
