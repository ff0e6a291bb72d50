//! What is remembered of an object in the cluster: whose it is, which of its fields are ours, and
//! how far its workload is. A few hundred bytes each, whatever the object's size.

use base::{ObjectRef, labels};
use install::Owner;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::kind::VALIDATING;
use crate::{Kind, managed};

/// An object as the cluster has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// Which object.
    pub reference: ObjectRef,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// The IstioOperator that its labels name.
    pub owner: Option<Owner>,
    /// The component that its labels name.
    pub component: Option<String>,
    /// Whether it is exempt from pruning.
    pub not_pruned: bool,
    /// Whether its annotation asks that it be left as it is.
    pub ignored: bool,
    /// Whether our field manager has applied it; a copy that someone made of it is not ours.
    pub applied: bool,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Fingerprint of the fields that our field manager owns. It changes when anyone else
    /// changes the value of one of them, since that takes the ownership away.
    pub fields: u64,
    /// The field manager other than ours that wrote last.
    pub other_manager: Option<String>,
    /// How far it is.
    pub state: State,
}

/// How far an object is, for kinds where that matters.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// It exists, which is all there is to say.
    Exists,
    /// A Deployment.
    Workload(Workload),
    /// A CustomResourceDefinition.
    Crd {
        /// Whether condition Established is true.
        established: bool,
        /// Why its names were not accepted, when they were not.
        refused: Option<String>,
    },
}

/// The replicas of a Deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workload {
    /// Whether its status tells about its current spec.
    pub observed: bool,
    /// `spec.replicas`.
    pub desired: i64,
    /// Pods of the current template.
    pub updated: i64,
    /// Pods of any template.
    pub total: i64,
    /// Pods that are available.
    pub available: i64,
    /// Condition Available: no fewer pods are available than the rollout strategy demands.
    pub minimum_available: bool,
    /// Messages of conditions that tell of a failure (quota, progress deadline).
    pub complaints: Vec<String>,
}

impl Live {
    /// From an object's metadata, and for kinds of [`crate::kind::Depth::Status`] its whole content.
    pub fn of(kind: &Kind, metadata: &ObjectMeta, content: &Value) -> Live {
        let label = |key: &str| {
            metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get(key))
                .cloned()
        };
        let owner = label(labels::OWNING_RESOURCE)
            .zip(label(labels::OWNING_RESOURCE_NAMESPACE))
            .map(|(name, namespace)| Owner { name, namespace });
        let ignored = metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(labels::IGNORE_RECONCILE));
        let ours = managed::ours(metadata);
        Live {
            reference: kind.reference(
                metadata.namespace.clone(),
                metadata.name.clone().unwrap_or_default(),
            ),
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            owner,
            component: label(labels::COMPONENT),
            not_pruned: label(labels::NOT_PRUNED).as_deref() == Some("true"),
            deleting: metadata.deletion_timestamp.is_some(),
            ignored: ignored.is_some_and(|value| value == "true"),
            applied: ours.is_some(),
            fields: ours.map_or(0, |fields| {
                managed::fingerprint(fields, |field| {
                    kind.kind == VALIDATING && field == "f:failurePolicy"
                })
            }),
            other_manager: managed::latest_other(metadata),
            state: state(kind, metadata.generation.unwrap_or_default(), content),
        }
    }

    /// Whether `self` is at least as new as `other`, a view of the same object. Resource versions
    /// are compared as numbers; where they are none, the later arrival wins.
    pub fn supersedes(&self, other: &Live) -> bool {
        if self.uid != other.uid {
            return true;
        }
        match (
            self.resource_version.parse::<u64>(),
            other.resource_version.parse::<u64>(),
        ) {
            (Ok(new), Ok(old)) => new >= old,
            _ => true,
        }
    }
}

fn state(kind: &Kind, generation: i64, content: &Value) -> State {
    let number = |pointer: &str| content.pointer(pointer).and_then(Value::as_i64);
    let conditions = content
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let field = |condition: &Value, name: &str| {
        condition
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let find = |type_: &str, status: &str| {
        conditions.iter().find(|condition| {
            field(condition, "type") == type_ && field(condition, "status") == status
        })
    };
    match kind.kind {
        "Deployment" => State::Workload(Workload {
            observed: number("/status/observedGeneration").unwrap_or_default() >= generation,
            desired: number("/spec/replicas").unwrap_or(1),
            updated: number("/status/updatedReplicas").unwrap_or_default(),
            total: number("/status/replicas").unwrap_or_default(),
            available: number("/status/availableReplicas").unwrap_or_default(),
            minimum_available: find("Available", "True").is_some(),
            complaints: [("ReplicaFailure", "True"), ("Progressing", "False")]
                .into_iter()
                .filter_map(|(type_, status)| find(type_, status))
                .map(|condition| field(condition, "message"))
                .collect(),
        }),
        "CustomResourceDefinition" => State::Crd {
            established: find("Established", "True").is_some(),
            refused: find("NamesAccepted", "False").map(|condition| field(condition, "message")),
        },
        _ => State::Exists,
    }
}

#[cfg(test)]
mod tests;
