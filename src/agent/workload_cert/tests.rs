//! How roots are joined and what gets a new version.

use std::sync::Arc;

use tokio::sync::watch;

use super::{certificates, publish, union};
use crate::secret::{self, Secrets};

const A: &str = "-----BEGIN CERTIFICATE-----\naaa\n-----END CERTIFICATE-----";
const B: &str = "-----BEGIN CERTIFICATE-----\nbbb\n-----END CERTIFICATE-----";

#[test]
fn roots_of_two_sources_are_joined_each_once() {
    assert_eq!(
        union(&format!("{A}\n"), &format!("{B}\n{A}\n")),
        format!("{A}\n{B}\n")
    );
    assert_eq!(union(A, ""), format!("{A}\n"));
    let noisy = format!("# a comment\n{A}\n\n{B} half -----BEGIN CERTIFICATE-----\nccc");
    assert_eq!(certificates(&noisy).collect::<Vec<_>>(), [A, B]);
}

#[test]
fn only_what_changed_gets_a_new_version() {
    let (sender, mut receiver) = watch::channel(Arc::new(Secrets::default()));
    let versions = |secrets: &Secrets| {
        [&secrets.own, &secrets.roots].map(|secret| {
            secret
                .as_ref()
                .map_or(String::new(), |secret| secret.version.clone())
        })
    };
    publish(&sender, Some(secret::own("chain", "key")), A);
    assert_eq!(versions(&receiver.borrow_and_update()), ["1", "1"]);
    publish(&sender, Some(secret::own("next", "key")), A);
    assert_eq!(versions(&receiver.borrow_and_update()), ["2", "1"]);
    publish(&sender, None, B);
    assert_eq!(versions(&receiver.borrow_and_update()), ["2", "2"]);
    publish(&sender, None, B);
    assert!(!receiver.has_changed().expect("a sender"));
}
