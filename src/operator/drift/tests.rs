//! Every cause of a write, and of none.

use std::sync::Arc;

use install::{Component, Object, Owner};
use kube::api::DynamicObject;
use rollout::{Live, State, Written};
use serde_json::{Value, json};

use super::{Cause, Verdict, foreign, judge, may_adopt};
use crate::others::{Needs, Others};

fn object(data: &str) -> Object {
    Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": data}}))
}

fn owner(name: &str) -> Owner {
    Owner {
        name: name.into(),
        namespace: "istio-system".into(),
    }
}

fn live() -> Live {
    Live {
        reference: object("").reference,
        uid: "1".into(),
        resource_version: "10".into(),
        owner: Some(owner("mesh")),
        component: Some("Pilot".into()),
        not_pruned: false,
        ignored: false,
        applied: true,
        deleting: false,
        fields: 7,
        other_manager: Some("kubectl-edit".into()),
        state: State::Exists,
    }
}

fn before() -> Written {
    Written::of(&object("a"), &live())
}

/// One other IstioOperator, `istio-system/other`.
fn others(needs: Needs) -> Others {
    let key = ("istio-system".to_owned(), "other".to_owned());
    Others {
        needs: [(key, needs)].into(),
        watched: None,
    }
}

fn check(object: &Object, live: Option<&Live>, written: Option<&Written>) -> Verdict {
    let pilot = Component::Pilot;
    judge(object, pilot, live, written, &owner("mesh"), &others(None))
}

#[test]
fn what_was_written_and_is_untouched_costs_nothing() {
    assert_eq!(
        check(&object("a"), Some(&live()), Some(&before())),
        Verdict::Keep
    );
}

#[test]
fn a_version_that_others_moved_is_no_edit() {
    let touched = Live {
        resource_version: "11".into(),
        ..live()
    };
    assert_eq!(
        check(&object("a"), Some(&touched), Some(&before())),
        Verdict::Keep
    );
}

#[test]
fn absence_is_a_creation_or_a_restoration() {
    assert_eq!(
        check(&object("a"), None, None),
        Verdict::Write(Cause::Absent)
    );
    assert_eq!(
        check(&object("a"), None, Some(&before())),
        Verdict::Write(Cause::Deleted)
    );
}

#[test]
fn a_successor_that_someone_else_created_is_taken_over() {
    let successor = Live {
        uid: "2".into(),
        ..live()
    };
    assert_eq!(
        check(&object("a"), Some(&successor), Some(&before())),
        Verdict::Write(Cause::Deleted)
    );
}

#[test]
fn a_new_rendering_is_written() {
    let verdict = check(&object("b"), Some(&live()), Some(&before()));
    assert_eq!(verdict, Verdict::Write(Cause::Rendered));
}

#[test]
fn without_a_record_what_stands_is_written_once() {
    assert_eq!(
        check(&object("a"), Some(&live()), None),
        Verdict::Write(Cause::Rendered)
    );
}

#[test]
fn an_edit_of_our_fields_names_who_did_it() {
    let edited = Live {
        fields: 8,
        ..live()
    };
    let by = Some("kubectl-edit".to_owned());
    assert_eq!(
        check(&object("a"), Some(&edited), Some(&before())),
        Verdict::Write(Cause::Edited { by })
    );
}

#[test]
fn what_is_being_deleted_is_waited_for() {
    let going = Live {
        deleting: true,
        ..live()
    };
    assert_eq!(
        check(&object("a"), Some(&going), Some(&before())),
        Verdict::Wait
    );
}

#[test]
fn an_object_of_another_that_exists_is_not_stolen() {
    let theirs = Live {
        owner: Some(owner("other")),
        ..live()
    };
    assert_eq!(
        check(&object("a"), Some(&theirs), None),
        Verdict::Conflict(owner("other"))
    );
}

#[test]
fn an_object_of_another_that_is_gone_is_taken_over() {
    let orphan = Live {
        owner: Some(owner("gone")),
        ..live()
    };
    assert_eq!(
        check(&object("a"), Some(&orphan), None),
        Verdict::Write(Cause::Rendered)
    );
}

/// Verdict over an object of Base that bears the labels of `istio-system/other`.
fn of_base(kind: &str, needs: Needs) -> Verdict {
    let mut object = object("a");
    object.reference.kind = kind.into();
    let theirs = Live {
        reference: object.reference.clone(),
        owner: Some(owner("other")),
        ..live()
    };
    let (base, mine) = (Component::Base, owner("mesh"));
    judge(&object, base, Some(&theirs), None, &mine, &others(needs))
}

#[test]
fn base_is_shared_between_installations() {
    assert_eq!(of_base("ServiceAccount", None), Verdict::Shared);
}

#[test]
fn the_default_validator_belongs_to_one() {
    let verdict = of_base("ValidatingWebhookConfiguration", None);
    assert_eq!(verdict, Verdict::Conflict(owner("other")));
}

#[test]
fn what_the_other_needs_no_longer_is_taken_over() {
    let verdict = of_base("ServiceAccount", Some(Arc::default()));
    assert_eq!(verdict, Verdict::Write(Cause::Rendered));
}

#[test]
fn an_owner_in_a_namespace_that_is_not_watched_may_exist() {
    let others = Others {
        watched: Some("istio-system".into()),
        ..Others::default()
    };
    let mut elsewhere = owner("other");
    assert!(!others.keeps(&elsewhere, &object("").reference));
    elsewhere.namespace = "elsewhere".into();
    assert!(others.keeps(&elsewhere, &object("").reference));
}

#[test]
fn an_object_whose_annotation_says_so_is_left_alone() {
    let exempt = Live {
        ignored: true,
        fields: 8,
        ..live()
    };
    assert_eq!(
        check(&object("b"), Some(&exempt), Some(&before())),
        Verdict::Ignore
    );
}

fn existing(metadata: Value) -> DynamicObject {
    serde_json::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))
        .expect("an object")
}

#[test]
fn what_others_made_is_named_with_its_maker() {
    let managed = |manager: &str| json!({"managedFields": [{"manager": manager}]});
    let helm = json!({"annotations": {"meta.helm.sh/release-name": "istiod",
        "meta.helm.sh/release-namespace": "istio-system"}});
    for (metadata, expected) in [
        (helm, Some("belongs to Helm release istio-system/istiod")),
        (managed("kubectl"), Some("was made by kubectl")),
        (
            json!({}),
            Some("exists already, and nothing tells who made it"),
        ),
        (managed("istio-operator"), None),
    ] {
        assert_eq!(foreign(&existing(metadata)).as_deref(), expected);
    }
}

#[test]
fn adoption_is_asked_for_on_the_resource_or_on_the_object() {
    let asks = existing(json!({"annotations": {"install.istio.io/adopt": "true"}}));
    let silent = existing(json!({"annotations": {"install.istio.io/adopt": "false"}}));
    assert!(may_adopt(&asks, &silent));
    assert!(may_adopt(&silent, &asks));
    assert!(!may_adopt(&silent, &silent));
}
