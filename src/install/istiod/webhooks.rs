//! The webhooks that bring pods and Istio's objects to istiod. Their CA bundle, and whether
//! validation may fail a request, are istiod's to write.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
    ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};

use base::labels::REVISION;
use base::names;

use super::Context;
use crate::Object;
use crate::labels::{metadata, with};
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
    let global = &context.pilot.values.global;
    let mut objects = Vec::new();
    if global.config_validation {
        objects.push(Object::of(&validating(context)));
    }
    if !global.operator_manage_webhooks {
        objects.push(Object::of(&mutating(context)));
    }
    objects
}

fn validating(context: Context<'_>) -> ValidatingWebhookConfiguration {
    let values = &context.pilot.values;
    let namespace = &values.global.istio_namespace;
    let labels = with(
        context.plain_labels(),
        [
            ("istio", "istiod"),
            (REVISION, context.install.revision_label()),
        ],
    );
    // Fails open until istiod has proved that it answers.
    let policy = match (&values.base.ca_bundle, &values.base.failure_policy) {
        (bundle, _) if !bundle.is_empty() => "Fail",
        (_, policy) if !policy.is_empty() => policy,
        _ => "Ignore",
    };
    ValidatingWebhookConfiguration {
        metadata: metadata(
            format!(
                "{}-{namespace}",
                context.install.revisioned("istio-validator")
            ),
            "",
            labels,
        ),
        webhooks: Some(vec![ValidatingWebhook {
            name: "rev.validation.istio.io".to_owned(),
            admission_review_versions: vec!["v1".to_owned()],
            client_config: client(
                &values.base.url,
                &values.base.ca_bundle,
                ServiceReference {
                    name: context.name(),
                    namespace: namespace.clone(),
                    path: Some("/validate".to_owned()),
                    port: None,
                },
            ),
            failure_policy: Some(policy.to_owned()),
            side_effects: "None".to_owned(),
            object_selector: Some(selector(&[is(
                REVISION,
                &[context.install.revision_label()],
            )])),
            rules: Some(vec![rule(
                &["CREATE", "UPDATE"],
                &[
                    "security.istio.io",
                    "networking.istio.io",
                    "telemetry.istio.io",
                    "extensions.istio.io",
                ],
                "*",
                "*",
            )]),
            ..Default::default()
        }]),
    }
}

/// Who is injected: by a label of the namespace or of the pod, by revision or by default. Exactly
/// one of these webhooks matches a pod that is to be injected.
fn mutating(context: Context<'_>) -> MutatingWebhookConfiguration {
    let values = &context.pilot.values;
    let revision = context.install.revision_label();
    let namespace = &context.pilot.namespace;
    let mut name = context.install.revisioned("istio-sidecar-injector");
    if namespace != names::ISTIO_SYSTEM {
        name = format!("{name}-{namespace}");
    }
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
    if context.install.revision.is_empty() {
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
        if values.sidecar_injector_webhook.enable_namespaces_by_default {
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
    }
    MutatingWebhookConfiguration {
        metadata: ObjectMeta {
            annotations: texts(&values.sidecar_injector_webhook_annotations),
            ..metadata(
                name,
                "",
                with(context.labels(), [("app", "sidecar-injector")]),
            )
        },
        webhooks: Some(webhooks),
    }
}

fn injection(
    context: Context<'_>,
    prefix: &str,
    namespaces: &[LabelSelectorRequirement],
    pods: &[LabelSelectorRequirement],
) -> MutatingWebhook {
    let values = &context.pilot.values;
    MutatingWebhook {
        name: format!("{prefix}sidecar-injector.istio.io"),
        admission_review_versions: vec!["v1".to_owned()],
        client_config: client(
            &values.istiod_remote.injection_url,
            &values.istiod_remote.injection_ca_bundle,
            ServiceReference {
                name: context.name(),
                namespace: context.pilot.namespace.clone(),
                path: some(&values.istiod_remote.injection_path),
                port: Some(443),
            },
        ),
        failure_policy: Some("Fail".to_owned()),
        namespace_selector: Some(selector(namespaces)),
        object_selector: Some(selector(pods)),
        reinvocation_policy: some(&values.sidecar_injector_webhook.reinvocation_policy),
        rules: Some(vec![rule(&["CREATE"], &[""], "v1", "pods")]),
        side_effects: "None".to_owned(),
        ..Default::default()
    }
}

fn client(url: &str, bundle: &str, service: ServiceReference) -> WebhookClientConfig {
    WebhookClientConfig {
        ca_bundle: bundle_bytes(bundle),
        service: url.is_empty().then_some(service),
        url: some(url),
    }
}

/// The bundle is written in base64, as it stands in the object; `resolve` has checked that.
fn bundle_bytes(bundle: &str) -> Option<ByteString> {
    serde_json::from_value(serde_json::Value::String(some(bundle)?)).ok()
}

fn rule(operations: &[&str], groups: &[&str], version: &str, resource: &str) -> RuleWithOperations {
    let owned = |items: &[&str]| Some(items.iter().map(|item| (*item).to_owned()).collect());
    RuleWithOperations {
        operations: owned(operations),
        api_groups: owned(groups),
        api_versions: owned(&[version]),
        resources: owned(&[resource]),
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
