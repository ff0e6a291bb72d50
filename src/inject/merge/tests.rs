//! What a template does to a pod.

use serde_json::{Value, json};

use super::{MergeError, merge};
use crate::schema::POD;

fn merged(pod: &Value, patch: &Value) -> Result<Value, MergeError> {
    let mut pod = pod.as_object().expect("an object").clone();
    merge(&mut pod, patch.as_object().expect("an object"), Some(&POD))?;
    Ok(Value::Object(pod))
}

fn check(pod: &Value, patch: &Value, expected: &Value) {
    assert_eq!(&merged(pod, patch).expect("it merges"), expected);
}

#[test]
fn items_merge_by_identity_and_new_ones_come_first() {
    check(
        &json!({"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b"}]}}),
        &json!({"spec": {"containers": [{"name": "new"}, {"name": "b", "image": "y"}]}}),
        &json!({"spec": {"containers": [{"name": "new"}, {"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}}),
    );
}

#[test]
fn mounts_merge_by_path_and_ports_by_number() {
    check(
        &json!({"spec": {"containers": [{"name": "a", "volumeMounts": [{"mountPath": "/x", "name": "v"}],
            "ports": [{"containerPort": 80, "name": "web"}]}]}}),
        &json!({"spec": {"containers": [{"name": "a", "volumeMounts": [{"mountPath": "/x", "readOnly": true}],
            "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}}),
        &json!({"spec": {"containers": [{"name": "a", "volumeMounts": [{"mountPath": "/x", "name": "v", "readOnly": true}],
            "ports": [{"containerPort": 80, "name": "web", "protocol": "TCP"}]}]}}),
    );
}

#[test]
fn lists_without_identity_are_replaced_whole() {
    check(
        &json!({"spec": {"containers": [{"name": "a", "args": ["x", "y"]}], "tolerations": [{"key": "a"}]}}),
        &json!({"spec": {"containers": [{"name": "a", "args": ["z"]}], "tolerations": [{"key": "b"}]}}),
        &json!({"spec": {"containers": [{"name": "a", "args": ["z"]}], "tolerations": [{"key": "b"}]}}),
    );
}

#[test]
fn null_and_directives_remove() {
    check(
        &json!({"spec": {"hostname": "a", "volumes": [{"name": "v"}, {"name": "w"}], "nodeSelector": {"a": "b"}}}),
        &json!({"spec": {"hostname": null, "volumes": [{"name": "v", "$patch": "delete"}],
            "nodeSelector": {"$patch": "replace", "c": "d"}}}),
        &json!({"spec": {"volumes": [{"name": "w"}], "nodeSelector": {"c": "d"}}}),
    );
    check(
        &json!({"spec": {"volumes": [{"name": "v"}, {"name": "w"}]}}),
        &json!({"spec": {"volumes": [{"$patch": "replace"}, {"name": "x"}]}}),
        &json!({"spec": {"volumes": [{"name": "x"}]}}),
    );
    check(
        &json!({"metadata": {"finalizers": ["a", "b"]}}),
        &json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}),
        &json!({"metadata": {"finalizers": ["c", "b"]}}),
    );
}

#[test]
fn retained_keys_take_the_others_away() {
    check(
        &json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
        &json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "csi"], "csi": {"driver": "d"}}]}}),
        &json!({"spec": {"volumes": [{"name": "v", "csi": {"driver": "d"}}]}}),
    );
}

#[test]
fn what_cannot_merge_is_named() {
    let pod = json!({"spec": {"containers": [{"name": "a"}]}});
    for (patch, message) in [
        (
            json!({"spec": {"containers": [{"image": "x"}]}}),
            "an item of containers has no name, by which its items merge",
        ),
        (
            json!({"spec": {"$patch": "drop"}}),
            "$patch is \"drop\", expected replace, delete or merge",
        ),
        (
            json!({"spec": "text"}),
            "spec has another form than the field of that name in a pod",
        ),
    ] {
        let error = merged(&pod, &patch).expect_err("it does not merge");
        assert_eq!(error.to_string(), message);
    }
}
