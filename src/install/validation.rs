//! Short forms for webhooks, and the webhook that validates Istio's objects, which a revision and
//! the cluster's default have in common.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    RuleWithOperations, ServiceReference, ValidatingWebhook, ValidatingWebhookConfiguration,
    WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use crate::values::{Validation, some};

/// Groups of the objects that are validated.
pub(crate) const GROUPS: [&str; 4] = [
    "security.istio.io",
    "networking.istio.io",
    "telemetry.istio.io",
    "extensions.istio.io",
];

/// Sends Istio's objects to istiod. Fails open until istiod has proved that it answers, unless
/// its certificate is given; istiod itself closes it then.
pub(crate) fn configuration(
    metadata: ObjectMeta,
    name: &str,
    (service, namespace): (String, &str),
    settings: &Validation,
    objects: Option<LabelSelector>,
) -> ValidatingWebhookConfiguration {
    let policy = match (&settings.ca_bundle, &settings.failure_policy) {
        (bundle, _) if !bundle.is_empty() => "Fail",
        (_, policy) if !policy.is_empty() => policy,
        _ => "Ignore",
    };
    let service = ServiceReference {
        name: service,
        namespace: namespace.to_owned(),
        path: Some("/validate".to_owned()),
        port: None,
    };
    ValidatingWebhookConfiguration {
        metadata,
        webhooks: Some(vec![ValidatingWebhook {
            name: name.to_owned(),
            admission_review_versions: vec!["v1".to_owned()],
            client_config: client(&settings.url, &settings.ca_bundle, service),
            failure_policy: Some(policy.to_owned()),
            side_effects: "None".to_owned(),
            object_selector: objects,
            rules: Some(vec![rule(&["CREATE", "UPDATE"], &GROUPS, "*", "*")]),
            ..Default::default()
        }]),
    }
}

/// Where a webhook is: at a URL where one is given, else behind a Service.
pub(crate) fn client(url: &str, bundle: &str, service: ServiceReference) -> WebhookClientConfig {
    WebhookClientConfig {
        ca_bundle: bytes(bundle),
        service: url.is_empty().then_some(service),
        url: some(url),
    }
}

/// A bundle is written in base64, as it stands in the object; `resolve` has checked that.
fn bytes(bundle: &str) -> Option<ByteString> {
    serde_json::from_value(serde_json::Value::String(some(bundle)?)).ok()
}

/// What a webhook is asked about.
pub(crate) fn rule(
    operations: &[&str],
    groups: &[&str],
    version: &str,
    resource: &str,
) -> RuleWithOperations {
    let owned = |items: &[&str]| Some(items.iter().map(|item| (*item).to_owned()).collect());
    RuleWithOperations {
        operations: owned(operations),
        api_groups: owned(groups),
        api_versions: owned(&[version]),
        resources: owned(&[resource]),
        ..Default::default()
    }
}
