//! When a serving certificate is renewed, and that TLS accepts what is issued.

use std::sync::Arc;
use std::time::Duration as Wait;

use pki::OffsetDateTime;
use serve::Shutdown;
use time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{due, issue, serve};
use crate::Root;

fn root() -> Arc<Root> {
    Arc::new(Root::generate("example.org", OffsetDateTime::now_utc()).expect("a root"))
}

#[test]
fn is_due_after_half_of_its_life_or_before_its_start() {
    let from = OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a valid time");
    let until = from + Duration::days(30);
    for (after, expected) in [
        (Duration::ZERO, false),
        (Duration::days(14), false),
        (Duration::days(15), true),
        (Duration::days(40), true),
        (-Duration::SECOND, true),
    ] {
        assert_eq!(due(from, until, from + after), expected, "{after}");
    }
}

#[test]
fn the_chain_starts_with_the_leaf_and_leaves_out_the_root() {
    let root = root();
    let hosts = ["istiod.istio-system.svc".to_owned()];
    let (key, _, _) = issue(&root, &hosts, OffsetDateTime::now_utc()).expect("issued");
    assert_eq!(key.cert.len(), 1);
    assert_ne!(key.cert[0], *root.signer().certificate().der());
}

#[tokio::test]
async fn a_new_ca_means_a_new_certificate_at_once() {
    let (sender, receiver) = watch::channel(None);
    let shutdown = Shutdown::new();
    let hosts = vec!["istiod.istio-system.svc".to_owned()];
    let (mut serving, task) = serve(receiver, hosts, shutdown.clone());
    assert!(serving.borrow().is_none());
    let mut seen = Vec::new();
    for root in [root(), root()] {
        sender.send_replace(Some(root.clone()));
        let changed = timeout(Wait::from_secs(20), serving.changed()).await;
        changed.expect("in time").expect("running");
        let key = serving.borrow_and_update().clone().expect("a certificate");
        let leaf = pki::Certificate::from_der(&key.cert[0]).expect("DER");
        let trusted = pki::verify(&leaf, &[], root.roots(), OffsetDateTime::now_utc());
        assert!(trusted.is_ok(), "{trusted:?}");
        seen.push(leaf);
    }
    assert_ne!(seen[0], seen[1]);
    shutdown.cancel();
    task.await.expect("it ends");
}
