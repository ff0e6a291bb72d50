//! What is signed says what upstream's certificates say.

use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Signer, self_signed_root};
use crate::{Error, PrivateKey};

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a valid time")
}

fn signer() -> Signer {
    let root = self_signed_root("example.org", now(), Duration::days(3650)).expect("a root");
    Signer::new(root.certificate, root.key).expect("a pair")
}

#[test]
fn a_root_has_upstreams_attributes() {
    let root = self_signed_root("example.org", now(), Duration::days(3650)).expect("a root");
    assert_eq!(root.certificate.subject, "O=example.org");
    assert_eq!(root.certificate.not_before, now());
    assert_eq!(root.certificate.not_after, now() + Duration::days(3650));
    assert!(
        root.key
            .to_pem()
            .starts_with("-----BEGIN RSA PRIVATE KEY-----\n")
    );

    let (_, x509) = X509Certificate::from_der(root.certificate.der()).expect("DER");
    let constraints = x509.basic_constraints().expect("parsed").expect("present");
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, None);
    let usage = x509.key_usage().expect("parsed").expect("present").value;
    assert!(
        usage.key_cert_sign() && usage.flags.count_ones() == 1,
        "{usage}"
    );
    assert!(x509.subject_alternative_name().expect("parsed").is_none());
    assert!(x509.verify_signature(None).is_ok(), "self-signed");
}

#[test]
fn serials_differ() {
    let serial = || {
        let root = self_signed_root("example.org", now(), Duration::days(1)).expect("a root");
        let (_, x509) = X509Certificate::from_der(root.certificate.der()).expect("DER");
        x509.raw_serial().to_vec()
    };
    let (first, second) = (serial(), serial());
    assert_ne!(first, second);
    assert!(first.len() <= 16);
}

#[test]
fn a_serving_certificate_names_its_hosts_and_may_serve_and_call() {
    let hosts = ["istiod.istio-system.svc".to_owned()];
    let issued = signer()
        .issue_serving(&hosts, now(), Duration::days(90))
        .expect("a leaf");
    assert_eq!(issued.certificate.alternative_names, hosts);
    assert_eq!(issued.certificate.not_before, now() - Duration::minutes(2));

    let (_, x509) = X509Certificate::from_der(issued.certificate.der()).expect("DER");
    let names = x509.subject_alternative_name().expect("parsed");
    assert!(names.expect("present").critical, "the subject is empty");
    let usage = x509
        .extended_key_usage()
        .expect("parsed")
        .expect("present")
        .value;
    assert!(usage.server_auth && usage.client_auth);
    assert!(!issued.certificate.is_ca);
}

#[test]
fn a_leaf_never_outlives_its_signer() {
    let root = self_signed_root("example.org", now(), Duration::days(30)).expect("a root");
    let end = root.certificate.not_after;
    let signer = Signer::new(root.certificate, root.key).expect("a pair");
    let hosts = ["a.example.org".to_owned()];
    let leaf = signer.issue_serving(&hosts, now(), Duration::days(3650));
    assert_eq!(leaf.expect("a leaf").certificate.not_after, end);

    let late = signer.issue_serving(&hosts, end + Duration::seconds(1), Duration::days(1));
    assert!(matches!(late, Err(Error::NotValidNow { .. })));
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let root = self_signed_root("example.org", now(), Duration::days(1)).expect("a root");
    let other = PrivateKey::generate_rsa_2048().expect("randomness");
    let error = Signer::new(root.certificate, other).expect_err("not a pair");
    assert!(matches!(error, Error::KeyMismatch { .. }), "{error}");
}

#[test]
fn a_leaf_cannot_be_a_signer() {
    let hosts = ["a.example.org".to_owned()];
    let leaf = signer().issue_serving(&hosts, now(), Duration::days(1));
    let leaf = leaf.expect("a leaf");
    let error = Signer::new(leaf.certificate, leaf.key).expect_err("no CA");
    assert!(matches!(error, Error::NotACa { .. }), "{error}");
}

#[test]
fn signs_under_every_kind_of_ca_key() {
    for text in [
        include_str!("../testdata/rsa.pkcs1.pem"),
        include_str!("../testdata/p256.sec1.pem"),
        include_str!("../testdata/p384.pkcs8.pem"),
    ] {
        let key = PrivateKey::from_pem(text).expect("a key");
        let mut params = super::params(now(), now() + Duration::days(2)).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "plugged in");
        let certificate = params.self_signed(key.pair()).expect("a CA");
        let certificate = crate::Certificate::from_der(certificate.der()).expect("DER");
        let signer = Signer::new(certificate, key).expect("a pair");
        let hosts = ["a.example.org".to_owned()];
        assert!(
            signer
                .issue_serving(&hosts, now(), Duration::days(1))
                .is_ok()
        );
    }
}
