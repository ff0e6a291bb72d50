//! Who owns which field of an object, as `metadata.managedFields` tells it.

use std::collections::BTreeSet;

use base::labels;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

/// A field as `fieldsV1` names it, step by step: `f:spec`, `k:{"name":"discovery"}`, `v:"x"`. The
/// last step is `.` for an entry that is owned as such.
pub(crate) type Path = Vec<String>;

/// What our field manager has applied; none when it never did.
pub(crate) fn ours(metadata: &ObjectMeta) -> Option<&Value> {
    entries(metadata)
        .find(|entry| is_ours(entry) && entry.operation.as_deref() == Some("Apply"))
        .and_then(|entry| entry.fields_v1.as_ref())
        .map(|fields| &fields.0)
}

/// The field manager other than ours that wrote last, changes of subresources apart.
pub(crate) fn latest_other(metadata: &ObjectMeta) -> Option<String> {
    entries(metadata)
        .filter(|entry| !is_ours(entry))
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0))
        .and_then(|entry| entry.manager.clone())
}

/// Who owns `path`, other than us and in whatever way.
pub(crate) fn other_owner(metadata: &ObjectMeta, path: &[String]) -> Option<String> {
    metadata
        .managed_fields
        .iter()
        .flatten()
        .filter(|entry| !is_ours(entry))
        .find(|entry| {
            let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
            fields.is_some_and(|fields| holds(fields, path))
        })
        .and_then(|entry| entry.manager.clone())
}

fn entries(metadata: &ObjectMeta) -> impl Iterator<Item = &ManagedFieldsEntry> {
    let all = metadata.managed_fields.iter().flatten();
    all.filter(|entry| entry.subresource.is_none())
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(labels::FIELD_MANAGER)
}

fn holds(fields: &Value, path: &[String]) -> bool {
    match path {
        [] => true,
        [step, rest @ ..] => fields.get(step).is_some_and(|below| holds(below, rest)),
    }
}

/// Every leaf of a set of fields.
pub(crate) fn paths(fields: &Value) -> BTreeSet<Path> {
    let mut found = BTreeSet::new();
    collect(fields, &mut Vec::new(), &mut found);
    found
}

fn collect(fields: &Value, path: &mut Path, found: &mut BTreeSet<Path>) {
    let below = fields.as_object().filter(|below| !below.is_empty());
    let Some(below) = below else {
        found.insert(path.clone());
        return;
    };
    for (step, fields) in below {
        path.push(step.clone());
        collect(fields, path, found);
        path.pop();
    }
}

/// A number that changes with the set of fields and with nothing else: the API server is free to
/// change their order (a scale that changes nothing does). The same in every process. Fields of
/// which `passed_over` holds do not count.
pub(crate) fn fingerprint(fields: &Value, passed_over: impl Fn(&str) -> bool) -> u64 {
    let mut text = String::new();
    let counts = |path: &Path| !path.last().is_some_and(|field| passed_over(field));
    for path in paths(fields).iter().filter(|path| counts(path)) {
        text.push_str(&path.join("\u{1f}"));
        text.push('\n');
    }
    xxh3_64(text.as_bytes())
}
