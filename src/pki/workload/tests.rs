//! What is issued says what upstream's certificates say.

use rcgen::{CertificateParams, DnType, KeyPair};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use crate::{
    Certificate, Error, PrivateKey, Signer, SigningRequest, self_signed_root, signing_request,
};

const URI: &str = "spiffe://cluster.local/ns/shop/sa/reviews";

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a valid time")
}

fn signer() -> Signer {
    let root = self_signed_root("cluster.local", now(), Duration::days(3650)).expect("a root");
    Signer::new(root.certificate, root.key).expect("a pair")
}

fn request(key: &PrivateKey) -> SigningRequest {
    let text = signing_request(key, "spiffe://elsewhere/ns/a/sa/b").expect("a request");
    SigningRequest::from_pem(&text).expect("a verified request")
}

fn issued(signer: &Signer, request: &SigningRequest, lifetime: Duration) -> Certificate {
    signer
        .issue_workload(request, URI, now(), lifetime)
        .expect("a certificate")
}

#[test]
fn a_certificate_is_upstreams_template() {
    let signer = signer();
    let key = PrivateKey::generate_p256().expect("a key");
    let certificate = issued(&signer, &request(&key), Duration::hours(24));
    assert_eq!(certificate.alternative_names, [URI]);
    assert_eq!(certificate.not_before, now() - Duration::minutes(2));
    assert_eq!(certificate.not_after, now() + Duration::hours(24));
    assert!(!certificate.is_ca && certificate.is_for(&key));
    let root = std::slice::from_ref(signer.certificate());
    crate::verify(&certificate, &[], root, now()).expect("trusted");

    let (_, x509) = X509Certificate::from_der(certificate.der()).expect("DER");
    assert_eq!(x509.subject().iter_attributes().count(), 0);
    assert_eq!(x509.issuer().as_raw(), signer.subject());
    assert_eq!(x509.raw_serial().len(), 16);
    let names = x509
        .subject_alternative_name()
        .expect("parsed")
        .expect("present");
    assert!(names.critical && names.value.general_names.len() == 1);
    let usage = x509.key_usage().expect("parsed").expect("present");
    assert!(usage.critical && usage.value.digital_signature() && usage.value.key_encipherment());
    assert_eq!(usage.value.flags.count_ones(), 2);
    let extended = x509
        .extended_key_usage()
        .expect("parsed")
        .expect("present")
        .value;
    assert!(extended.server_auth && extended.client_auth && extended.other.is_empty());
    let constraints = x509.basic_constraints().expect("parsed").expect("present");
    assert!(constraints.critical && !constraints.value.ca);
    let authority = x509
        .iter_extensions()
        .find_map(|one| match one.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.clone(),
            _ => None,
        });
    assert_eq!(
        authority.map(|identifier| identifier.0),
        signer.key_identifier()
    );
}

#[test]
fn keys_are_copied_byte_for_byte_whatever_signs() {
    let ec = {
        let key = PrivateKey::generate_p384().expect("a key");
        let root = {
            let mut params = CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params
                .distinguished_name
                .push(DnType::OrganizationName, "x");
            params.not_before = now();
            params.not_after = now() + Duration::days(1);
            params.self_signed(key.pair()).expect("a root")
        };
        Signer::new(Certificate::from_der(root.der()).expect("DER"), key).expect("a pair")
    };
    for signer in [signer(), ec] {
        for key in [
            PrivateKey::generate_p256(),
            PrivateKey::generate_p384(),
            PrivateKey::generate_rsa_2048(),
        ] {
            let key = key.expect("a key");
            let certificate = issued(&signer, &request(&key), Duration::hours(1));
            assert_eq!(certificate.public_key().expect("parsed"), key.public_key());
            let root = std::slice::from_ref(signer.certificate());
            crate::verify(&certificate, &[], root, now()).expect("trusted");
        }
    }
}

#[test]
fn no_certificate_outlives_its_signer_or_comes_from_a_dead_one() {
    let signer = signer();
    let key = PrivateKey::generate_p256().expect("a key");
    let request = request(&key);
    let certificate = issued(&signer, &request, Duration::days(5000));
    assert_eq!(certificate.not_after, signer.certificate().not_after);
    for at in [now() - Duration::SECOND, now() + Duration::days(3651)] {
        let error = signer
            .issue_workload(&request, URI, at, Duration::hours(1))
            .expect_err("a refusal");
        assert!(matches!(error, Error::NotValidNow { .. }), "{error}");
    }
}

#[test]
fn a_common_name_is_the_identity_when_one_is_asked_for_and_it_fits() {
    let signer = signer();
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "something");
    let text = params
        .serialize_request(&key)
        .expect("a request")
        .pem()
        .expect("PEM");
    let request = SigningRequest::from_pem(&text).expect("a verified request");
    let certificate = issued(&signer, &request, Duration::hours(1));
    assert_eq!(certificate.subject, format!("CN={URI}"));
    let long = format!("spiffe://cluster.local/ns/{}/sa/b", "a".repeat(60));
    let certificate = signer
        .issue_workload(&request, &long, now(), Duration::hours(1))
        .expect("a certificate");
    assert_eq!(certificate.subject, "");
    assert_eq!(certificate.alternative_names, [long]);
}
