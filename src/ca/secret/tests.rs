//! Every situation of the two Secrets, and what follows.

use std::sync::Arc;

use pki::OffsetDateTime;

use super::{Seen, State, Step, next_step};
use crate::{Root, Source};

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a valid time")
}

fn root() -> Arc<Root> {
    Arc::new(Root::generate("example.org", now()).expect("a root"))
}

fn stored(root: &Root) -> Seen {
    Seen::Present(Box::new(root.to_secret("istio-system")))
}

/// `cacerts` with the same CA.
fn plugged_in(root: &Root) -> Seen {
    let mut secret = root.to_secret("istio-system");
    let data = secret.data.get_or_insert_default();
    let certificate = data["ca-cert.pem"].clone();
    data.insert("cert-chain.pem".to_owned(), certificate);
    Seen::Present(Box::new(secret))
}

#[test]
fn nothing_is_decided_before_both_secrets_are_known() {
    for (own, plugged_in) in [
        (Seen::Unknown, Seen::Absent),
        (Seen::Absent, Seen::Unknown),
        (stored(&root()), Seen::Unknown),
    ] {
        let state = State {
            own,
            plugged_in,
            root: None,
            leads: true,
        };
        assert_eq!(next_step(&state, now()), Step::Rest);
    }
}

fn absent() -> State {
    State {
        own: Seen::Absent,
        plugged_in: Seen::Absent,
        ..Default::default()
    }
}

#[test]
fn only_the_leader_creates_or_restores() {
    let root = root();
    let lost = State {
        root: Some(root.clone()),
        ..absent()
    };
    assert_eq!(next_step(&absent(), now()), Step::Rest);
    assert_eq!(next_step(&lost, now()), Step::Rest);
    let leading = |state: State| State {
        leads: true,
        ..state
    };
    assert_eq!(next_step(&leading(absent()), now()), Step::Create);
    assert_eq!(next_step(&leading(lost), now()), Step::Restore(root));
}

#[test]
fn every_process_adopts_what_is_there_once() {
    let root = root();
    let state = State {
        own: stored(&root),
        ..absent()
    };
    let Step::Adopt(adopted) = next_step(&state, now()) else {
        panic!("expected adoption");
    };
    assert_eq!(*adopted, *root);
    let state = State {
        root: Some(Arc::from(adopted)),
        ..state
    };
    assert_eq!(next_step(&state, now()), Step::Rest);
}

#[test]
fn a_secret_that_changed_is_adopted_again() {
    let (old, new) = (root(), root());
    let state = State {
        own: stored(&new),
        root: Some(old),
        ..absent()
    };
    let step = next_step(&state, now());
    assert!(
        matches!(&step, Step::Adopt(root) if **root == *new),
        "{step:?}"
    );
}

#[test]
fn cacerts_wins_at_the_start() {
    let (own, users) = (root(), root());
    let state = State {
        own: stored(&own),
        plugged_in: plugged_in(&users),
        ..absent()
    };
    let Step::Adopt(adopted) = next_step(&state, now()) else {
        panic!("expected adoption");
    };
    assert_eq!(adopted.source, Source::PluggedIn);
    assert_eq!(adopted.roots(), users.roots());
}

#[test]
fn the_source_does_not_change_under_way() {
    let (own, users) = (root(), root());
    let appeared = State {
        own: stored(&own),
        plugged_in: plugged_in(&users),
        root: Some(own.clone()),
        leads: true,
    };
    assert!(matches!(next_step(&appeared, now()), Step::Complain(_)));

    let Seen::Present(secret) = plugged_in(&users) else {
        panic!("made above");
    };
    let in_force = Root::plugged_in(&secret, now()).expect("a CA");
    let deleted = State {
        root: Some(Arc::new(in_force)),
        leads: true,
        ..absent()
    };
    assert!(matches!(next_step(&deleted, now()), Step::Complain(_)));
}

#[test]
fn an_unusable_secret_is_complained_about_and_never_replaced() {
    for leads in [false, true] {
        for root in [None, Some(root())] {
            let broken = State {
                own: Seen::Present(Box::default()),
                root,
                leads,
                ..absent()
            };
            let Step::Complain(text) = next_step(&broken, now()) else {
                panic!("expected a complaint");
            };
            assert!(text.contains("istio-ca-secret"), "{text}");
        }
    }
}
