//! Whether the objects of a component do what they are there for, judged from live objects only:
//! CRDs established, Deployments rolled out and available. Level-triggered, without memory.

use std::collections::BTreeMap;

use base::ObjectRef;
use install::Object;
use serde_json::Value;

use crate::{Inventory, State, Workload};

/// How far a component is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// What it waits for, one sentence each; empty when it is available.
    pub waiting: Vec<String>,
    /// The Deployments among what it waits for.
    pub workloads: Vec<ObjectRef>,
    /// Whether something that it needs to serve at all is missing, beyond a rollout or a change
    /// of scale that is under way.
    pub down: bool,
}

impl Readiness {
    /// Whether nothing is waited for.
    pub fn available(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Judges the objects of one component.
pub fn ready(objects: &[Object], inventory: &Inventory) -> Readiness {
    let minimum = minimum_replicas(objects);
    let mut readiness = Readiness::default();
    for Object { reference, .. } in objects {
        let (wait, down) = match inventory.get(reference) {
            None => (Some(format!("{reference} does not exist yet")), true),
            Some(live) if live.deleting => (Some(format!("{reference} is being deleted")), true),
            Some(live) => match &live.state {
                State::Exists => (None, false),
                State::Crd {
                    established: true, ..
                } => (None, false),
                State::Crd { refused, .. } => (
                    Some(match refused {
                        Some(why) => format!("{reference} is not established: {why}"),
                        None => format!("{reference} is not established yet"),
                    }),
                    true,
                ),
                State::Workload(workload) => {
                    let minimum = minimum.get(reference).copied().unwrap_or_default();
                    (
                        wait_for_workload(workload, minimum)
                            .map(|wait| format!("{reference}: {wait}")),
                        !workload.minimum_available,
                    )
                }
            },
        };
        if let Some(wait) = wait {
            if matches!(
                inventory.get(reference).map(|live| &live.state),
                Some(State::Workload(_))
            ) {
                readiness.workloads.push(reference.clone());
            }
            readiness.waiting.push(wait);
            readiness.down |= down;
        }
    }
    readiness
}

/// What a Deployment lacks, when it lacks anything. `minimum` is what its autoscaler will raise
/// the replicas to.
fn wait_for_workload(workload: &Workload, minimum: i64) -> Option<String> {
    let desired = workload.desired.max(minimum);
    let wait = if !workload.observed {
        "its change has not been taken up by the deployment controller yet".to_owned()
    } else if workload.updated < desired {
        format!("{} of {desired} pods updated", workload.updated)
    } else if workload.available < desired {
        format!("{} of {desired} pods available", workload.available)
    } else if workload.total > workload.updated {
        let old = workload.total - workload.updated;
        format!("{old} pods of the previous revision still to end")
    } else {
        return None;
    };
    let mut sentence = vec![wait];
    sentence.extend(workload.complaints.iter().cloned());
    Some(sentence.join("; "))
}

/// `minReplicas` of the autoscalers among `objects`, by the Deployment that they scale.
fn minimum_replicas(objects: &[Object]) -> BTreeMap<ObjectRef, i64> {
    objects
        .iter()
        .filter(|object| object.reference.kind == "HorizontalPodAutoscaler")
        .filter_map(|object| {
            let text = |pointer: &str| object.body.pointer(pointer)?.as_str();
            let target = ObjectRef {
                api_version: text("/spec/scaleTargetRef/apiVersion")?.to_owned(),
                kind: text("/spec/scaleTargetRef/kind")?.to_owned(),
                namespace: object.reference.namespace.clone(),
                name: text("/spec/scaleTargetRef/name")?.to_owned(),
            };
            let minimum = object
                .body
                .pointer("/spec/minReplicas")
                .and_then(Value::as_i64)
                .unwrap_or(1);
            Some((target, minimum))
        })
        .collect()
}

#[cfg(test)]
mod tests;
