//! The policy of profile `stable`: the API server refuses what Istio does not promise to keep, in
//! objects that name this revision.

use serde_json::{Value, json};

use base::labels::REVISION;

use super::Context;
use crate::Object;
use crate::labels;
use crate::validation::GROUPS;

const API_VERSION: &str = "admissionregistration.k8s.io/v1";

/// Kinds without any promise.
const UNSTABLE_KINDS: [&str; 3] = ["EnvoyFilter", "WasmPlugin", "ProxyConfig"];
/// Fields of Telemetry without one: the list that they stand in, what an item of it is called in
/// the expression, the field.
const UNSTABLE_FIELDS: [(&str, &str, &str); 3] = [
    ("tracing", "t", "useRequestIdForTraceSampling"),
    ("metrics", "m", "reportingInterval"),
    ("accessLogging", "l", "filter"),
];

/// The policy and its binding.
pub(super) fn build(context: Context<'_>) -> Vec<Object> {
    let install = context.install;
    let namespace = &context.pilot.values.global.istio_namespace;
    let name = |stem: &str| format!("{}-{namespace}.istio.io", install.revisioned(stem));
    let policy = json!({
        "apiVersion": API_VERSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {
            "name": name("stable-channel-policy"),
            "labels": labels::of("istiod", install),
        },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [{
                    "apiGroups": GROUPS,
                    "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["*"],
                }],
                "objectSelector": {"matchExpressions": [{
                    "key": REVISION,
                    "operator": "In",
                    "values": [install.revision_label()],
                }]},
            },
            "variables": variables(),
            "validations": validations(),
        },
    });
    let binding = json!({
        "apiVersion": API_VERSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name("stable-channel-policy-binding")},
        "spec": {
            "policyName": name("stable-channel-policy"),
            "validationActions": ["Deny"],
        },
    });
    vec![Object::from_value(policy), Object::from_value(binding)]
}

fn variables() -> Vec<Value> {
    let kinds = UNSTABLE_KINDS.into_iter().chain(["Telemetry"]);
    kinds
        .map(|kind| {
            let expression = format!("object.kind == '{kind}'");
            json!({"name": format!("is{kind}"), "expression": expression})
        })
        .collect()
}

fn validations() -> Vec<Value> {
    let fields = UNSTABLE_FIELDS.map(|(list, item, field)| {
        let items = format!("(has(object.spec.{list}) ? object.spec.{list} : {{}})");
        format!("    {items}.exists({item}, has({item}.{field}))")
    });
    let fields = fields.join(" ||\n");
    let fields = format!("!(\n  variables.isTelemetry && (\n{fields}\n  )\n)\n");
    let kinds = UNSTABLE_KINDS.into_iter();
    kinds
        .map(|kind| format!("!variables.is{kind}"))
        .chain([fields])
        .map(|expression| json!({"expression": expression}))
        .collect()
}
