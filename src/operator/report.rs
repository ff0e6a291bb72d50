//! Writes a decided status, and only when it differs from what stands there. Transition times are
//! kept where a condition's status did not change.

use base::condition::Status as Truth;
use install::Component;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use rollout::{Action, Plan};
use serde_json::{Map, Value, json};

use crate::memory::Memory;
use crate::status::Status;
use crate::watch::operator_resource;

/// Brings `status` of `cr` to what was decided; whether that took a write. A resource that is
/// gone is no error.
///
/// # Errors
/// What the API server said to the write.
pub async fn report(
    client: &Client,
    cr: &DynamicObject,
    memory: &mut Memory,
    version: &str,
    status: &Status,
) -> Result<bool, kube::Error> {
    let null = Value::Null;
    let standing = cr.data.get("status").unwrap_or(&null);
    let previous = memory
        .latest_status(cr.metadata.resource_version.as_deref(), standing)
        .clone();
    let generation = cr.metadata.generation.unwrap_or_default();
    let now = Time(k8s_openapi::jiff::Timestamp::now());
    let next = render(status, &previous, generation, version, &json!(now));
    let Some(difference) = merge_patch(&previous, &next) else {
        return Ok(false);
    };
    let namespace = cr.metadata.namespace.clone().unwrap_or_default();
    let name = cr.metadata.name.clone().unwrap_or_default();
    let resource: ApiResource = operator_resource();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
    let params = PatchParams {
        field_manager: Some(base::labels::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"status": difference}));
    match api.patch_status(&name, &params, &patch).await {
        Ok(answer) => {
            let version = answer.metadata.resource_version.unwrap_or_default();
            memory.status = Some((version, next));
            Ok(true)
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

/// The whole status as it is to stand in the resource.
fn render(status: &Status, previous: &Value, generation: i64, version: &str, now: &Value) -> Value {
    let mut next = Map::new();
    next.insert("status".into(), status.overall.as_str().into());
    next.insert("message".into(), status.message.as_str().into());
    next.insert("observedGeneration".into(), generation.into());
    let components = match &status.components {
        None => previous.get("componentStatus").cloned(),
        Some(components) => Some(
            components
                .iter()
                .map(|told| {
                    let mut entry = json!({"status": told.health.as_str(), "version": version});
                    if !told.error.is_empty() {
                        entry["error"] = told.error.as_str().into();
                    }
                    (told.component.as_str().to_owned(), entry)
                })
                .collect::<Map<_, _>>()
                .into(),
        ),
    };
    next.extend(components.map(|components| ("componentStatus".to_owned(), components)));
    if status.plan != Plan::default() {
        next.insert("plan".into(), planned(&status.plan));
    }
    let standing = previous
        .get("conditions")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut conditions: Vec<Value> = status
        .conditions
        .iter()
        .map(|condition| {
            let same = standing.iter().find(|other| {
                other["type"] == condition.type_.as_str()
                    && other["status"] == condition.status.as_str()
            });
            let before = standing
                .iter()
                .find(|other| other["type"] == condition.type_.as_str());
            // Not to know yet, as after a restart, is no news about what was known.
            if let (Truth::Unknown, Some(before)) = (condition.status, before) {
                return before.clone();
            }
            json!({
                "type": condition.type_,
                "status": condition.status.as_str(),
                "reason": condition.reason,
                "message": condition.message,
                "lastTransitionTime": same.map_or(now, |same| &same["lastTransitionTime"]),
                "observedGeneration": generation,
            })
        })
        .collect();
    if status.components.is_none() {
        let of_component = |condition: &&Value| {
            Component::ALL
                .iter()
                .any(|component| condition["type"] == component.condition_type())
        };
        conditions.extend(standing.iter().filter(of_component).cloned());
    }
    next.insert("conditions".into(), conditions.into());
    next.into()
}

/// A plan as status shows it; values of fields are cut where they get long.
fn planned(plan: &Plan) -> Value {
    let mut shown = Map::new();
    for change in &plan.objects {
        let object = change.object.to_string();
        let (key, entry) = match &change.action {
            Action::Create => ("create", object.into()),
            Action::Remove => ("remove", object.into()),
            Action::Refuse(why) => ("refuse", json!({"object": object, "reason": why})),
            Action::Change(fields) => {
                let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
                ("change", json!({"object": object, "fields": fields}))
            }
        };
        let entries = shown.entry(key).or_insert_with(|| json!([]));
        if let Value::Array(entries) = entries {
            entries.push(entry);
        }
    }
    shown.into()
}

/// The JSON merge patch (RFC 7386) that turns `from` into `to`; none when they are equal.
fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => {
            let removed = from
                .keys()
                .filter(|key| !to.contains_key(*key))
                .map(|key| (key.clone(), Value::Null));
            let changed = to.iter().filter_map(|(key, to)| {
                let patch = merge_patch(from.get(key).unwrap_or(&Value::Null), to)?;
                Some((key.clone(), patch))
            });
            let patch: Map<_, _> = removed.chain(changed).collect();
            (!patch.is_empty()).then(|| patch.into())
        }
        _ => (from != to).then(|| to.clone()),
    }
}

#[cfg(test)]
mod tests;
