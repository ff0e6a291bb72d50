//! Kubernetes' strategic merge: as `merge`, but the lists whose items have an identity merge item
//! by item. Identities are those that the Kubernetes API declares for these fields.

use serde_json::{Map, Value};

/// Fields of which an object has one: giving another takes the first away, since the API server
/// refuses both.
const ALTERNATIVES: [&[&str]; 3] = [
    &["value", "valueFrom"],
    &["exec", "grpc", "httpGet", "tcpSocket"],
    &[
        "configMapKeyRef",
        "fieldRef",
        "fileKeyRef",
        "resourceFieldRef",
        "secretKeyRef",
    ],
];

/// Puts `over` on top of `object`. `null` removes a field, `$patch: replace` replaces a map or a
/// list, `$patch: delete` removes a map or an item.
pub(crate) fn patch(object: &mut Map<String, Value>, over: &Map<String, Value>) {
    for group in ALTERNATIVES {
        let given = |field: &str| over.get(field).is_some_and(|value| !value.is_null());
        if group.iter().any(|field| given(field)) {
            object.retain(|field, _| !group.contains(&field.as_str()) || given(field));
        }
    }
    for (key, value) in over {
        match (object.get_mut(key), value) {
            _ if key.starts_with('$') => {}
            (_, Value::Null) => {
                object.shift_remove(key);
            }
            (_, Value::Object(over)) if directive(over) == Some("delete") => {
                object.shift_remove(key);
            }
            (Some(Value::Object(below)), Value::Object(over)) => {
                if directive(over) == Some("replace") {
                    below.clear();
                }
                // A strategy is one of two kinds; what belongs to the other goes with it.
                if key == "strategy" && over.contains_key("type") {
                    below.retain(|field, _| over.contains_key(field));
                }
                patch(below, over);
            }
            (Some(Value::Array(below)), Value::Array(over)) => match identity(key, over) {
                Some(identity) => patch_list(below, over, identity),
                None => below.clone_from(over),
            },
            (_, Value::Object(over)) => {
                let mut fresh = Map::new();
                patch(&mut fresh, over);
                object.insert(key.clone(), Value::Object(fresh));
            }
            (_, value) => {
                object.insert(key.clone(), value.clone());
            }
        }
    }
}

fn patch_list(below: &mut Vec<Value>, over: &[Value], identity: &str) {
    for item in over.iter().filter_map(Value::as_object) {
        if directive(item) == Some("replace") && !item.contains_key(identity) {
            below.clear();
            continue;
        }
        let found = below
            .iter()
            .position(|existing| existing.get(identity) == item.get(identity));
        match (found, directive(item)) {
            (Some(index), Some("delete")) => {
                below.remove(index);
            }
            (None, Some("delete")) => {}
            (Some(index), _) => {
                if let Some(Value::Object(existing)) = below.get_mut(index) {
                    patch(existing, item);
                }
            }
            (None, _) => below.push(Value::Object(item.clone())),
        }
    }
}

fn directive(map: &Map<String, Value>) -> Option<&str> {
    map.get("$patch").and_then(Value::as_str)
}

/// The field that identifies an item of a list; none where the list is replaced whole.
fn identity(list: &str, items: &[Value]) -> Option<&'static str> {
    match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => Some("name"),
        "volumeMounts" => Some("mountPath"),
        "hostAliases" => Some("ip"),
        "topologySpreadConstraints" => Some("topologyKey"),
        "ports" if items.iter().any(|item| item.get("containerPort").is_some()) => {
            Some("containerPort")
        }
        "ports" => Some("port"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::patch;

    fn check(object: Value, over: Value, expected: Value) {
        let mut found = object.as_object().expect("a map").clone();
        patch(&mut found, over.as_object().expect("a map"));
        assert_eq!(Value::Object(found), expected);
    }

    #[test]
    fn items_with_an_identity_merge_and_new_ones_are_added() {
        check(
            json!({"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}], "image": "i"}]}),
            json!({"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "3"}]}]}),
            json!({"containers": [{"name": "a", "env": [{"name": "X", "value": "3"}, {"name": "Y", "value": "2"}], "image": "i"}]}),
        );
    }

    #[test]
    fn lists_without_an_identity_are_replaced() {
        check(
            json!({"tolerations": [{"key": "a"}], "metrics": [1]}),
            json!({"tolerations": [{"key": "b"}], "metrics": [2]}),
            json!({"tolerations": [{"key": "b"}], "metrics": [2]}),
        );
    }

    #[test]
    fn null_and_delete_remove_and_replace_replaces() {
        check(
            json!({"a": 1, "b": {"c": 1, "d": 2}, "volumes": [{"name": "x"}, {"name": "y"}]}),
            json!({"a": null, "b": {"$patch": "replace", "e": 3}, "volumes": [{"name": "x", "$patch": "delete"}]}),
            json!({"b": {"e": 3}, "volumes": [{"name": "y"}]}),
        );
    }

    #[test]
    fn a_strategy_of_the_other_kind_drops_what_it_cannot_have() {
        check(
            json!({"strategy": {"rollingUpdate": {"maxSurge": 1}}}),
            json!({"strategy": {"type": "Recreate"}}),
            json!({"strategy": {"type": "Recreate"}}),
        );
    }

    #[test]
    fn of_alternatives_the_given_one_stays() {
        check(
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}),
            json!({"env": [{"name": "A", "value": "1"}]}),
            json!({"env": [{"name": "A", "value": "1"}]}),
        );
        check(
            json!({"readinessProbe": {"httpGet": {"port": 1}, "periodSeconds": 3}}),
            json!({"readinessProbe": {"exec": {"command": ["true"]}}}),
            json!({"readinessProbe": {"periodSeconds": 3, "exec": {"command": ["true"]}}}),
        );
    }

    #[test]
    fn service_ports_are_known_by_port() {
        check(
            json!({"ports": [{"port": 80, "name": "http"}]}),
            json!({"ports": [{"port": 80, "nodePort": 30080}]}),
            json!({"ports": [{"port": 80, "name": "http", "nodePort": 30080}]}),
        );
    }
}
