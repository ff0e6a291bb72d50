//! What is kept is what is read again.

use base::ObjectRef;
use install::Object;
use serde_json::json;

use super::{Record, Written, fingerprint};

fn reference(kind: &str, namespace: Option<&str>) -> ObjectRef {
    ObjectRef {
        api_version: "v1".into(),
        kind: kind.into(),
        namespace: namespace.map(str::to_owned),
        name: "x".into(),
    }
}

#[test]
fn a_record_survives_its_text() {
    let written = Written {
        body: 7,
        uid: "u".into(),
        fields: u64::MAX,
    };
    let record = Record {
        written: [
            (
                reference("ConfigMap", Some("istio-system")),
                written.clone(),
            ),
            (reference("Node", None), written),
        ]
        .into(),
        shared: [reference("ServiceAccount", Some("istio-system"))].into(),
    };
    assert_eq!(Record::from_text(&record.to_text()), record);
    assert_eq!(record.objects().len(), 3);
}

#[test]
fn what_someone_else_wrote_into_it_is_passed_over() {
    let text = "\nhello\nv1 ConfigMap a/b u 1\nv1 ConfigMap a/b u x y\nv1 ConfigMap a/b shared\n";
    let record = Record::from_text(text);
    assert!(record.written.is_empty());
    assert_eq!(record.shared.len(), 1);
}

#[test]
fn the_fingerprint_is_the_same_in_every_process() {
    let object = Object::from_value(json!({"kind": "ConfigMap", "metadata": {"name": "a"}}));
    assert_eq!(fingerprint(&object), 9_069_086_262_283_792_378);
}
