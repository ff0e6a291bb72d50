//! Which signing requests are read, and which are refused.

use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair};

use super::{SigningRequest, signing_request};
use crate::{Certificate, Error, PrivateKey, pem};

const LABEL: &str = "CERTIFICATE REQUEST";
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

/// Whatever happens to one byte of a request, or to its end: it is refused, or asks for the same key.
#[test]
fn a_damaged_request_is_never_one_for_another_key() {
    let key = PrivateKey::generate_p256().expect("a key");
    let text = signing_request(&key, URI).expect("a request");
    let der = pem::decode(&text).expect("PEM").contents().to_vec();
    let read = |der: &[u8]| SigningRequest::from_pem(&pem::encode(LABEL, der));
    for at in 0..der.len() {
        assert!(read(&der[..at]).is_err(), "cut at {at}");
        for byte in [0x00, 0x7f, 0x80, 0xff, der[at] ^ 1] {
            let mut damaged = der.clone();
            damaged[at] = byte;
            if let Ok(request) = read(&damaged) {
                assert_eq!(request.public_key, key.public_key(), "{byte} at {at}");
            }
        }
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    for lie in [
        vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        vec![0x30, 0x80],
        vec![0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        [0x30, 0x82, 0x7f, 0xff].repeat(5_000),
        vec![0x30; 40_000],
        vec![0xa0; 40_000],
    ] {
        assert!(SigningRequest::from_pem(&pem::encode(LABEL, &lie)).is_err());
        assert!(Certificate::from_der(&lie).is_err());
    }
}

#[test]
fn text_around_and_inside_of_pem_is_no_obstacle_to_a_refusal() {
    let begin = "-----BEGIN CERTIFICATE REQUEST-----";
    for text in [
        begin.to_owned(),
        begin.repeat(1_000),
        format!("{begin}\n{}", "=".repeat(60_000)),
        format!("{begin}\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END CERTIFICATE REQUEST-----"),
        "\u{0}".repeat(60_000),
        "-".repeat(60_000),
    ] {
        assert!(SigningRequest::from_pem(&text).is_err(), "{:.40}", text);
    }
}
