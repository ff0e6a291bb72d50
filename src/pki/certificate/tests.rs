//! Chains are accepted and refused for the right reason.

use time::{Duration, OffsetDateTime};

use super::{Certificate, parse_bundle, verify};
use crate::{Error, Signer, self_signed_root};

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a valid time")
}

fn signer() -> Signer {
    let root = self_signed_root("cluster.local", now(), Duration::days(10)).expect("a root");
    Signer::new(root.certificate, root.key).expect("a pair")
}

fn leaf(signer: &Signer) -> Certificate {
    let hosts = ["istiod.istio-system.svc".to_owned()];
    let issued = signer.issue_serving(&hosts, now(), Duration::days(1));
    issued.expect("a leaf").certificate
}

#[test]
fn a_leaf_is_trusted_under_its_own_root_only() {
    let (ours, theirs) = (signer(), signer());
    let leaf = leaf(&ours);
    let roots = |signer: &Signer| vec![signer.certificate().clone()];
    assert!(verify(&leaf, &[], &roots(&ours), now()).is_ok());
    // The same subject, another key.
    let error = verify(&leaf, &[], &roots(&theirs), now()).expect_err("another root");
    assert!(matches!(error, Error::Untrusted { .. }), "{error}");
}

#[test]
fn a_leaf_is_refused_outside_of_its_validity() {
    let signer = signer();
    let leaf = leaf(&signer);
    let roots = [signer.certificate().clone()];
    for moment in [now() - Duration::hours(1), now() + Duration::days(2)] {
        let error = verify(&leaf, &[], &roots, moment).expect_err("not valid then");
        assert!(matches!(error, Error::NotValidNow { .. }), "{error}");
    }
}

#[test]
fn an_expired_root_vouches_for_nothing() {
    let signer = signer();
    let roots = [signer.certificate().clone()];
    let later = now() + Duration::days(11);
    assert!(verify(signer.certificate(), &[], &roots, later).is_err());
}

#[test]
fn a_bundle_gives_all_its_certificates_in_order() {
    let (first, second) = (signer(), signer());
    let text = first.certificate().to_pem() + "\n# a comment\n" + &second.certificate().to_pem();
    let bundle = parse_bundle(&text).expect("two certificates");
    assert_eq!(
        bundle,
        [first.certificate().clone(), second.certificate().clone()]
    );
}

#[test]
fn a_bundle_without_certificates_is_an_error() {
    assert!(matches!(parse_bundle(""), Err(Error::Missing { .. })));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(parse_bundle(broken), Err(Error::Malformed { .. })));
}
