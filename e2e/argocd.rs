//! The health that ArgoCD derives from an IstioOperator, by the rule that it is shipped with: the table of its
//! resource customisation, nothing of ours.

use serde_json::Value;

/// What ArgoCD shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Green.
    Healthy,
    /// Work is going on.
    Progressing,
    /// Red.
    Degraded,
    /// Grey: nobody can say.
    Unknown,
}

/// Derives it from the whole resource. The rule looks at `status.status` alone, as a word or as its number.
pub fn health(resource: &Value) -> Health {
    let status = &resource["status"]["status"];
    let number = status.as_u64();
    match (status.as_str(), number) {
        (Some("NONE"), _) | (_, Some(0)) => Health::Unknown,
        (Some("HEALTHY"), _) | (_, Some(3)) => Health::Healthy,
        (Some("ERROR"), _) | (_, Some(4)) => Health::Degraded,
        // Updating and reconciling, and whatever the rule does not know.
        _ => Health::Progressing,
    }
}
