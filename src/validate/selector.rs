//! What a policy applies to: labels of workloads, or references. Form and exclusion are in the schema.

use crate::field::{Field, Findings};

/// A selector without labels selects all, which its writer may not have meant.
pub fn warn_if_empty(findings: &mut Findings, selector: &Field) {
    let labels = ["matchLabels", "labels"]
        .iter()
        .map(|name| selector.get(name).len());
    if selector.is_set() && labels.sum::<usize>() == 0 {
        findings.warning(
            selector,
            "has no labels, so it applies to every workload in the namespace",
        );
    }
}

/// Kinds that a policy may refer to, by API group.
const REFERABLE: &[(&str, &str)] = &[
    ("", "Service"),
    ("core", "Service"),
    ("networking.istio.io", "ServiceEntry"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
];

/// `targetRef` and `targetRefs` of a spec.
pub fn references(findings: &mut Findings, spec: &Field) {
    let one = [spec.get("targetRef")].into_iter().filter(Field::is_set);
    for reference in one.chain(spec.get("targetRefs").items()) {
        let (group, kind) = (reference.get("group").text(), reference.get("kind").text());
        if !REFERABLE.contains(&(group, kind)) {
            let message = format!(
                "is {group}/{kind}, expected Service, networking.istio.io/ServiceEntry, gateway.networking.k8s.io/Gateway or GatewayClass"
            );
            findings.error(&reference, message);
        }
    }
}

/// Both, as most policies have them.
pub fn check(findings: &mut Findings, spec: &Field) {
    warn_if_empty(findings, &spec.get("selector"));
    references(findings, spec);
}

/// Labels of Kubernetes: keys `[prefix/]name`, values of at most 63 characters.
pub fn labels(findings: &mut Findings, labels: &Field) {
    for (key, value) in labels.entries() {
        let (prefix, name) = match key.rsplit_once('/') {
            Some((prefix, name)) => (Some(prefix), name),
            None => (None, key),
        };
        let prefix_right = prefix.is_none_or(|prefix| crate::host::is_domain(prefix).is_ok());
        if !prefix_right || name.is_empty() || !is_label_word(name) {
            findings.error(
                &value,
                format!("{key:?} is no label, expected [prefix/]name"),
            );
        }
        if !value.text().is_empty() && !is_label_word(value.text()) {
            let message = format!(
                "{:?} is no label value, expected at most 63 letters, digits, '-', '_' and '.'",
                value.text()
            );
            findings.error(&value, message);
        }
    }
}

fn is_label_word(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let outer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text.chars().all(inner)
        && outer(text.chars().next())
        && outer(text.chars().last())
}
