//! Which signing requests are read, and which are refused.

use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair};

use super::{SigningRequest, signing_request};
use crate::{Error, PrivateKey, pem};

const URI: &str = "spiffe://cluster.local/ns/shop/sa/reviews";

#[test]
fn what_is_written_is_read() {
    for key in [
        PrivateKey::generate_p256(),
        PrivateKey::generate_p384(),
        PrivateKey::generate_rsa_2048(),
    ] {
        let key = key.expect("a key");
        let text = signing_request(&key, URI).expect("a request");
        let request = SigningRequest::from_pem(&text).expect("a verified request");
        assert_eq!(request.public_key, key.public_key());
        assert!(!request.has_common_name);
    }
}

#[test]
fn extensions_that_the_ca_does_not_know_are_no_obstacle() {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "x");
    params.custom_extensions = vec![CustomExtension::from_oid_content(
        &[1, 3, 6, 1, 5, 5, 7, 1, 24],
        vec![0x30, 0x03, 0x02, 0x01, 0x05],
    )];
    let text = params
        .serialize_request(&key)
        .expect("a request")
        .pem()
        .expect("PEM");
    let request = SigningRequest::from_pem(&text).expect("a verified request");
    assert!(request.has_common_name);
}

#[test]
fn a_request_for_somebody_elses_key_is_refused() {
    let key = PrivateKey::generate_p256().expect("a key");
    let other = PrivateKey::generate_p256().expect("a key");
    let text = signing_request(&key, URI).expect("a request");
    let mut der = pem::decode(&text).expect("PEM").contents().to_vec();
    let own = key.public_key();
    let at = der
        .windows(own.len())
        .position(|part| part == own)
        .expect("its key");
    der[at..at + own.len()].copy_from_slice(&other.public_key());
    let forged = pem::encode("CERTIFICATE REQUEST", &der);
    let error = SigningRequest::from_pem(&forged).expect_err("a refusal");
    assert!(matches!(error, Error::NotProven(_)), "{error}");
}

#[test]
fn other_texts_are_refused() {
    let key = PrivateKey::generate_p256().expect("a key");
    let long = "A".repeat(70_000);
    let trailing = {
        let text = signing_request(&key, URI).expect("a request");
        let mut der = pem::decode(&text).expect("PEM").contents().to_vec();
        der.push(0);
        pem::encode("CERTIFICATE REQUEST", &der)
    };
    let empty = pem::encode("CERTIFICATE REQUEST", &[]);
    for text in ["", "junk", &key.to_pem(), &long, &trailing, &empty] {
        assert!(SigningRequest::from_pem(text).is_err(), "{text}");
    }
}
