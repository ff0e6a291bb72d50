//! PeerAuthentication: mTLS by workload and by port. That ports need a selector is in the schema.

use crate::field::{Field, Findings};
use crate::selector;

pub fn check(findings: &mut Findings, root: &Field) {
    let spec = root.get("spec");
    let ports = spec.get("portLevelMtls");
    if ports.is_set() && ports.len() == 0 {
        findings.error(&ports, "is empty, expected at least one port");
    }
    selector::warn_if_empty(findings, &spec.get("selector"));
}
