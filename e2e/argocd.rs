//! The health that ArgoCD derives from an IstioOperator, by the rule that it is shipped with, held against what the
//! conditions of the same status say: every status that a case reads passes through here, and every other one that is
//! written while cases run (`statuses.rs`).

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

/// Derives it from the whole resource.
///
/// # Errors
/// When the conditions ask for another one: whoever looks at ArgoCD is told something else then than kubectl says.
pub fn judge(resource: &Value) -> Result<Health, String> {
    let status = &resource["status"];
    let shown = by_rule(&status["status"]);
    match by_conditions(status) {
        Some(deserved) if deserved != shown => Err(format!(
            "ArgoCD shows {shown:?}, something else than the conditions say, {deserved:?}: {status}"
        )),
        _ => Ok(shown),
    }
}

/// As [`judge`].
///
/// # Panics
/// When the conditions ask for another one.
pub fn health(resource: &Value) -> Health {
    judge(resource).unwrap_or_else(|contradiction| panic!("{contradiction}"))
}

/// The table of ArgoCD's resource customisation, nothing of ours: `status.status` alone, as a word or as its number.
fn by_rule(status: &Value) -> Health {
    match (status.as_str(), status.as_u64()) {
        (Some("NONE"), _) | (_, Some(0)) => Health::Unknown,
        (Some("HEALTHY"), _) | (_, Some(3)) => Health::Healthy,
        (Some("ERROR"), _) | (_, Some(4)) => Health::Degraded,
        // Updating and reconciling, and whatever the rule does not know.
        _ => Health::Progressing,
    }
}

/// What a person would call it who reads conditions and components; nothing while there are none.
fn by_conditions(status: &Value) -> Option<Health> {
    let conditions = status["conditions"].as_array()?;
    let of = |type_: &str| {
        conditions
            .iter()
            .find(|condition| condition["type"] == type_)
    };
    let ready = of("Ready")?;
    let is_true = |type_: &str| of(type_).is_some_and(|found| found["status"] == "True");
    let mut components = status["componentStatus"].as_object().into_iter().flatten();
    let mut failed = || components.any(|(_, component)| component["status"] == "ERROR");
    Some(match ready["reason"].as_str() {
        _ if ready["status"] == "True" => Health::Healthy,
        // A deletion goes on, whatever was the matter before.
        Some("Deleting") => Health::Progressing,
        Some("ApplyFailed") => Health::Degraded,
        _ if is_true("Stalled") || failed() => Health::Degraded,
        _ => Health::Progressing,
    })
}

#[cfg(test)]
mod tests;
