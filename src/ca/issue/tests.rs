//! What the CA issues, and what it refuses.

use pki::{Certificate, OffsetDateTime, PrivateKey, signing_request};
use time::Duration;

use super::{Asked, Issuance, Lifetimes, Refused, issue};
use crate::Root;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a valid time")
}

fn issued(root: Option<&Root>, request: &str, seconds: i64) -> Result<Issuance, Refused> {
    let identity = "spiffe://cluster.local/ns/shop/sa/reviews";
    let identity = identity.parse().expect("an identity");
    let asked = Asked { request, seconds };
    issue(root, &identity, asked, Lifetimes::default(), now())
}

fn request() -> String {
    let key = PrivateKey::generate_p256().expect("a key");
    signing_request(&key, "spiffe://cluster.local/ns/admin/sa/root").expect("a request")
}

#[test]
fn the_callers_identity_is_certified_not_the_requests() {
    let root = Root::generate("cluster.local", now()).expect("a root");
    let issuance = issued(Some(&root), &request(), 3600).expect("a certificate");
    assert_eq!(
        issuance.certificate.alternative_names,
        ["spiffe://cluster.local/ns/shop/sa/reviews"]
    );
    let end = issuance.certificate.not_after;
    assert_eq!(end, now() + Duration::hours(1));
}

#[test]
fn a_chain_starts_with_the_leaf_and_ends_with_the_roots() {
    let root = Root::generate("cluster.local", now()).expect("a root");
    let issuance = issued(Some(&root), &request(), 0).expect("a certificate");
    let [leaf, roots] = &issuance.chain[..] else {
        panic!("{:?}", issuance.chain);
    };
    assert!(
        issuance
            .chain
            .iter()
            .all(|element| element.ends_with("-----\n"))
    );
    let leaf = Certificate::from_pem(leaf).expect("a certificate");
    assert_eq!(leaf, issuance.certificate);
    assert_eq!(leaf.not_after, now() + Duration::hours(24));
    assert_eq!(roots, root.roots_pem());
    pki::verify(&leaf, &[], root.roots(), now()).expect("trusted");
}

#[test]
fn lifetimes_beyond_the_longest_are_refused_not_clamped() {
    let root = Root::generate("cluster.local", now()).expect("a root");
    let longest = Lifetimes::default().longest.whole_seconds();
    assert!(issued(Some(&root), &request(), longest).is_ok());
    for seconds in [longest + 1, i64::MAX] {
        let refused = issued(Some(&root), &request(), seconds).expect_err("a refusal");
        assert_eq!(refused.label(), "TTL_ERROR");
    }
    let default = issued(Some(&root), &request(), -5).expect("a certificate");
    assert_eq!(default.certificate.not_after, now() + Duration::hours(24));
}

#[test]
fn refusals_have_upstreams_labels() {
    let root = Root::generate("cluster.local", now()).expect("a root");
    let old = Root::generate("cluster.local", now() - Duration::days(4000)).expect("a root");
    for (root, request, label) in [
        (None, request(), "CA_NOT_READY"),
        (Some(&root), String::new(), "CSR_ERROR"),
        (Some(&old), request(), "CERT_GEN_ERROR"),
    ] {
        let refused = issued(root, &request, 60).expect_err("a refusal");
        assert_eq!(refused.label(), label);
    }
}
