//! Kubernetes' strategic merge of a patch onto a pod: lists whose items have an identity merge item
//! by item, `$patch`, `$retainKeys` and `$deleteFromPrimitiveList` are obeyed, `null` removes.
//! What is new in a list stands before what was there, as Kubernetes does it.

use serde_json::{Map, Value};

use crate::schema::{Kind, Shape};

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_ITEMS: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// A patch that can't be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// `$patch` has another value than those that exist.
    #[error("$patch is {0:?}, expected replace, delete or merge")]
    Directive(String),
    /// An item has no identity.
    #[error("an item of {list} has no {key}, by which its items merge")]
    NoKey {
        /// Name of the list.
        list: String,
        /// The field that is missing.
        key: &'static str,
    },
    /// A list stands where an object was, or the like.
    #[error("{0} has another form than the field of that name in a pod")]
    Form(String),
}

/// Merges `patch` onto `object`, whose fields `shape` tells.
///
/// # Errors
/// See [`MergeError`]; `object` is then only partly merged.
pub fn merge(
    object: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    shape: Option<&'static Shape>,
) -> Result<(), MergeError> {
    match directive(patch)? {
        Directive::Merge => {}
        Directive::Replace => {
            *object = without_directives(patch);
            return Ok(());
        }
        Directive::Delete => {
            object.clear();
            return Ok(());
        }
    }
    if let Some(Value::Array(keep)) = patch.get(RETAIN) {
        object.retain(|name, _| keep.iter().any(|kept| kept.as_str() == Some(name)));
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix(DELETE_ITEMS) {
            if let (Some(Value::Array(below)), Value::Array(gone)) = (object.get_mut(list), value) {
                below.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if name == PATCH || name == RETAIN || name.starts_with(ORDER) {
            continue;
        }
        let kind = shape.map_or(&Kind::Any, |shape| shape.kind(name));
        merge_field(object, name, value, kind)?;
    }
    Ok(())
}

fn merge_field(
    object: &mut Map<String, Value>,
    name: &str,
    value: &Value,
    kind: &'static Kind,
) -> Result<(), MergeError> {
    match (object.get_mut(name), value) {
        (_, Value::Null) => {
            object.shift_remove(name);
        }
        (Some(Value::Object(below)), Value::Object(over)) => {
            if matches!(directive(over)?, Directive::Delete) {
                object.shift_remove(name);
            } else {
                merge(below, over, kind.shape())?;
            }
        }
        (Some(Value::Array(below)), Value::Array(over)) => merge_list(name, below, over, kind)?,
        (Some(Value::Object(_)), _) | (Some(Value::Array(_)), _) => {
            return Err(MergeError::Form(name.to_owned()));
        }
        (_, Value::Object(over)) => {
            if !matches!(directive(over)?, Directive::Delete) {
                let mut fresh = Map::new();
                merge(&mut fresh, &without_directives(over), kind.shape())?;
                object.insert(name.to_owned(), Value::Object(fresh));
            }
        }
        (_, Value::Array(over)) => {
            let mut fresh = Vec::new();
            merge_list(name, &mut fresh, over, kind)?;
            object.insert(name.to_owned(), Value::Array(fresh));
        }
        (_, scalar) => {
            object.insert(name.to_owned(), scalar.clone());
        }
    }
    Ok(())
}

fn merge_list(
    name: &str,
    below: &mut Vec<Value>,
    over: &[Value],
    kind: &'static Kind,
) -> Result<(), MergeError> {
    match kind {
        Kind::List(shape, Some(key)) => merge_items(name, below, over, shape, key),
        Kind::Set => {
            let mut merged = over.to_vec();
            merged.extend(below.iter().filter(|item| !over.contains(item)).cloned());
            *below = merged;
            Ok(())
        }
        _ => {
            *below = over.to_vec();
            Ok(())
        }
    }
}

fn merge_items(
    name: &str,
    below: &mut Vec<Value>,
    over: &[Value],
    shape: &'static Shape,
    key: &'static str,
) -> Result<(), MergeError> {
    let no_key = || MergeError::NoKey {
        list: name.to_owned(),
        key,
    };
    let before = below.clone();
    // The identities that the patch speaks of, in its order.
    let mut patched: Vec<Value> = Vec::new();
    for item in over {
        let item = item
            .as_object()
            .ok_or_else(|| MergeError::Form(name.to_owned()))?;
        let directive = directive(item)?;
        let Some(identity) = item.get(key) else {
            if matches!(directive, Directive::Replace) {
                below.clear();
                continue;
            }
            return Err(no_key());
        };
        let found = below
            .iter()
            .position(|other| other.get(key) == Some(identity));
        match (directive, found) {
            (Directive::Delete, found) => {
                if let Some(index) = found {
                    below.remove(index);
                }
                continue;
            }
            (_, Some(index)) => {
                if let Some(existing) = below[index].as_object_mut() {
                    merge(existing, item, Some(shape))?;
                }
            }
            (_, None) => {
                let mut fresh = Map::new();
                merge(&mut fresh, &without_directives(item), Some(shape))?;
                below.push(Value::Object(fresh));
            }
        }
        if !patched.contains(identity) {
            patched.push(identity.clone());
        }
    }
    *below = in_order(std::mem::take(below), &patched, &before, key);
    Ok(())
}

/// Patched items in the patch's order, among the others in theirs: an item of the others comes
/// first only where it stood before the patched one.
fn in_order(items: Vec<Value>, patched: &[Value], before: &[Value], key: &str) -> Vec<Value> {
    let rank = |item: &Value| {
        before
            .iter()
            .position(|other| other.get(key) == item.get(key))
    };
    let (mut spoken, others): (Vec<Value>, Vec<Value>) = items.into_iter().partition(|item| {
        item.get(key)
            .is_some_and(|identity| patched.contains(identity))
    });
    spoken.sort_by_key(|item| {
        patched
            .iter()
            .position(|identity| Some(identity) == item.get(key))
    });
    let mut spoken = spoken.into_iter().peekable();
    let mut others = others.into_iter().peekable();
    let mut found = Vec::new();
    loop {
        let next = match (spoken.peek(), others.peek()) {
            (None, None) => return found,
            (None, Some(_)) => others.next(),
            (Some(_), None) => spoken.next(),
            (Some(mine), Some(theirs)) => match (rank(theirs), rank(mine)) {
                (Some(earlier), Some(later)) if earlier < later => others.next(),
                _ => spoken.next(),
            },
        };
        found.extend(next);
    }
}

enum Directive {
    Merge,
    Replace,
    Delete,
}

fn directive(patch: &Map<String, Value>) -> Result<Directive, MergeError> {
    match patch.get(PATCH) {
        None => Ok(Directive::Merge),
        Some(Value::String(text)) if text == "merge" => Ok(Directive::Merge),
        Some(Value::String(text)) if text == "replace" => Ok(Directive::Replace),
        Some(Value::String(text)) if text == "delete" => Ok(Directive::Delete),
        Some(Value::String(text)) => Err(MergeError::Directive(text.clone())),
        Some(other) => Err(MergeError::Directive(other.to_string())),
    }
}

fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    patch
        .iter()
        .filter(|(name, _)| *name != PATCH && *name != RETAIN)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
