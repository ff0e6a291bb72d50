//! What an apply would create, change and remove, from the API server's own answer to a dry run:
//! defaults, other owners' fields and webhooks are in it. Writes nothing.

use std::fmt;

use base::ObjectRef;
use install::Object;
use kube::Client;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::change::{differences, plain};
use crate::{Error, FieldChange, Live, apply};

/// What is to happen, in the order given; what stays as it is does not appear.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// One entry per object that changes.
    pub objects: Vec<PlannedChange>,
}

/// What is to happen to one object.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedChange {
    /// Which object.
    pub object: ObjectRef,
    /// What happens to it.
    pub action: Action,
    /// As it stands, without what the API server keeps for itself; absent when it does not exist.
    pub before: Option<Value>,
    /// As it would stand; absent when it would not exist.
    pub after: Option<Value>,
}

/// What happens to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It does not exist and would.
    Create,
    /// These fields would change.
    Change(Vec<FieldChange>),
    /// It exists and would not.
    Remove,
    /// It would stay as it is, for this reason.
    Refuse(String),
}

impl fmt::Display for PlannedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Create => write!(f, "create {}", self.object),
            Action::Remove => write!(f, "remove {}", self.object),
            Action::Refuse(why) => write!(f, "refuse {}: {why}", self.object),
            Action::Change(fields) => {
                let fields: Vec<String> = fields.iter().map(FieldChange::to_string).collect();
                write!(f, "change {}: {}", self.object, fields.join(", "))
            }
        }
    }
}

/// Asks what applying `objects` and removing `remove` would do. `spared` says why an object that exists would not be
/// written at all.
///
/// # Errors
/// The first request that was not answered; an answer that refuses is part of the plan.
pub async fn plan(
    client: &Client,
    objects: impl IntoIterator<Item = &Object>,
    remove: impl IntoIterator<Item = &Live>,
    spared: impl Fn(&ObjectRef, &DynamicObject) -> Option<String>,
) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    for object in objects {
        plan.objects.extend(planned(client, object, &spared).await?);
    }
    for live in remove {
        let standing = apply::read(client, &live.reference).await?;
        if let Some(standing) = standing.filter(|standing| {
            standing.metadata.uid.as_deref() == Some(live.uid.as_str()) || live.uid.is_empty()
        }) {
            plan.objects.push(PlannedChange {
                object: live.reference.clone(),
                action: Action::Remove,
                before: Some(plain(&standing)),
                after: None,
            });
        }
    }
    Ok(plan)
}

async fn planned(
    client: &Client,
    object: &Object,
    spared: impl Fn(&ObjectRef, &DynamicObject) -> Option<String>,
) -> Result<Option<PlannedChange>, Error> {
    let standing = apply::read(client, &object.reference).await?;
    let before = standing.as_ref().map(plain);
    let refused = |why: String| PlannedChange {
        object: object.reference.clone(),
        action: Action::Refuse(why),
        before: before.clone(),
        after: before.clone(),
    };
    if let Some(why) = standing.and_then(|standing| spared(&object.reference, &standing)) {
        return Ok(Some(refused(why)));
    }
    let after = match apply::dry_run(client, object).await {
        Ok(after) => after.as_ref().map_or_else(|| object.body.clone(), plain),
        Err(error) => return error.refusal().map(|why| Some(refused(why))).ok_or(error),
    };
    let action = match &before {
        None => Action::Create,
        Some(before) => Action::Change(differences(before, &after)),
    };
    if action == Action::Change(Vec::new()) {
        return Ok(None);
    }
    Ok(Some(PlannedChange {
        object: object.reference.clone(),
        action,
        before,
        after: Some(after),
    }))
}

#[cfg(test)]
mod tests;
