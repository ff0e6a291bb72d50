//! Annotations that are not for everyone.

use crate::field::{Field, Findings};

/// By this the control plane asks whether its webhook works: nothing that carries it is ever accepted.
const ALWAYS_REJECT: &str = "internal.istio.io/webhook-always-reject";
/// Marks of objects that the control plane derives from others.
const INTERNAL: [&str; 2] = [
    "internal.istio.io/parents",
    "internal.istio.io/parent-namespace",
];
/// An AuthorizationPolicy that only reports what it would do.
const DRY_RUN: &str = "istio.io/dry-run";

pub fn check(findings: &mut Findings, root: &Field) {
    let annotations = root.get("metadata").get("annotations");
    let named = |wanted: &str| annotations.entries().find(|(name, _)| *name == wanted);
    if let Some((_, field)) = named(ALWAYS_REJECT) {
        findings.error(&field, "asks to be rejected");
    }
    for internal in INTERNAL {
        if let Some((_, field)) = named(internal) {
            findings.error(&field, "is for the control plane's own use");
        }
    }
    let Some((_, dry_run)) = named(DRY_RUN) else {
        return;
    };
    if root.get("kind").text() != "AuthorizationPolicy" {
        findings.error(&dry_run, "has a meaning on an AuthorizationPolicy only");
        return;
    }
    let action = root.get("spec").get("action").text();
    if !["", "ALLOW", "DENY"].contains(&action) {
        findings.error(
            &dry_run,
            format!("is not supported with action {action}, expected ALLOW or DENY"),
        );
    } else if !is_bool(dry_run.text()) {
        findings.error(
            &dry_run,
            format!("is {:?}, expected \"true\" or \"false\"", dry_run.text()),
        );
    }
}

/// As Go reads booleans.
fn is_bool(text: &str) -> bool {
    let forms = [
        "1", "0", "t", "f", "T", "F", "true", "false", "TRUE", "FALSE", "True", "False",
    ];
    forms.contains(&text)
}
