//! Whether a pod is injected. Which namespaces and revisions ask at all is decided by the selectors of
//! the webhook configuration, not here.

use serde::Deserialize;
use serde_json::Value;

use crate::pod::{annotation, label};

/// Label, and older annotation, with which a pod decides for itself.
pub const INJECT: &str = "sidecar.istio.io/inject";

/// Namespaces whose pods are never injected.
pub const IGNORED_NAMESPACES: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "local-path-storage",
];

/// What happens to pods that say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unasked {
    /// They are injected.
    #[default]
    Enabled,
    /// They are not.
    Disabled,
}

/// What an installation has decided.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// For pods that say nothing and match no selector.
    pub unasked: Unasked,
    /// Pods that are not injected unless they ask for it; comes before `always`.
    pub never: Vec<Selector>,
    /// Pods that are injected unless they refuse it.
    pub always: Vec<Selector>,
}

/// A label selector of Kubernetes. An empty one matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    match_labels: std::collections::BTreeMap<String, String>,
    match_expressions: Vec<Expression>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Expression {
    key: String,
    operator: Operator,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The pod gets a sidecar.
    Inject,
    /// It does not.
    Skip(Reason),
}

/// Why a pod is not injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It shares the network of its node, where rules for one pod would reach every other.
    HostNetwork,
    /// Its namespace belongs to the cluster itself.
    IgnoredNamespace,
    /// Its label or annotation says so.
    Refused,
    /// A selector of the installation matches it.
    NeverSelected,
    /// It says nothing, and the installation injects only who asks.
    Disabled,
}

/// Whether `pod` of `namespace` is injected. Label before annotation before selectors before the default;
/// a label that is neither true nor false counts as none.
pub fn decide(pod: &Value, namespace: &str, policy: &Policy) -> Verdict {
    let host_network = pod.get("spec").and_then(|spec| spec.get("hostNetwork"));
    if host_network == Some(&Value::Bool(true)) {
        return Verdict::Skip(Reason::HostNetwork);
    }
    if IGNORED_NAMESPACES.contains(&namespace) {
        return Verdict::Skip(Reason::IgnoredNamespace);
    }
    match label(pod, INJECT).or_else(|| annotation(pod, INJECT)) {
        Some("true") => return Verdict::Inject,
        Some("false") => return Verdict::Skip(Reason::Refused),
        _ => {}
    }
    if policy.never.iter().any(|selector| selector.matches(pod)) {
        return Verdict::Skip(Reason::NeverSelected);
    }
    if policy.always.iter().any(|selector| selector.matches(pod)) {
        return Verdict::Inject;
    }
    match policy.unasked {
        Unasked::Enabled => Verdict::Inject,
        Unasked::Disabled => Verdict::Skip(Reason::Disabled),
    }
}

impl Selector {
    fn matches(&self, pod: &Value) -> bool {
        let empty = self.match_labels.is_empty() && self.match_expressions.is_empty();
        !empty
            && self
                .match_labels
                .iter()
                .all(|(key, value)| label(pod, key) == Some(value))
            && self.match_expressions.iter().all(|expression| {
                let found = label(pod, &expression.key);
                let listed =
                    found.is_some_and(|found| expression.values.iter().any(|value| value == found));
                match expression.operator {
                    Operator::In => listed,
                    Operator::NotIn => !listed,
                    Operator::Exists => found.is_some(),
                    Operator::DoesNotExist => found.is_none(),
                }
            })
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reason::HostNetwork => "it uses the host's network",
            Reason::IgnoredNamespace => "its namespace is one of the cluster's own",
            Reason::Refused => "it is labelled or annotated sidecar.istio.io/inject=false",
            Reason::NeverSelected => "neverInjectSelector matches it",
            Reason::Disabled => "injection is off unless a pod asks for it",
        })
    }
}

#[cfg(test)]
mod tests;
