//! Every cause of a write, and of none.

use std::collections::BTreeSet;

use install::{Component, Object, Owner};
use rollout::{Live, State};
use serde_json::json;

use super::{Cause, Verdict, Written, in_hindsight, judge, written};

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
        deleting: false,
        fields: 7,
        other_manager: Some("kubectl-edit".into()),
        state: State::Exists,
    }
}

fn before() -> Written {
    written(&object("a"), &live())
}

fn check(object: &Object, live: Option<&Live>, written: Option<&Written>) -> Verdict {
    let others = BTreeSet::from([("istio-system".to_owned(), "other".to_owned())]);
    judge(
        object,
        Component::Pilot,
        live,
        written,
        &owner("mesh"),
        &others,
    )
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
fn after_a_restart_everything_is_written_once() {
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

#[test]
fn base_is_shared_between_installations() {
    let theirs = Live {
        owner: Some(owner("other")),
        ..live()
    };
    let others = BTreeSet::from([("istio-system".to_owned(), "other".to_owned())]);
    let mine = owner("mesh");
    let verdict = judge(
        &object("a"),
        Component::Base,
        Some(&theirs),
        None,
        &mine,
        &others,
    );
    assert_eq!(verdict, Verdict::Shared);
}

#[test]
fn losing_its_labels_looks_like_a_deletion_until_the_answer_comes() {
    let by = Some("kubectl-edit".to_owned());
    let cause = in_hindsight(Cause::Deleted, Some(&before()), &live());
    assert_eq!(cause, Cause::Edited { by });
    let successor = Live {
        uid: "2".into(),
        ..live()
    };
    let cause = in_hindsight(Cause::Deleted, Some(&before()), &successor);
    assert_eq!(cause, Cause::Deleted);
}
