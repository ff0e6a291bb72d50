//! Keys survive their PEM forms. The files in `testdata` were made by openssl for these tests only.

use super::PrivateKey;
use crate::Error;

#[test]
fn loads_all_six_forms_of_ca_keys() {
    let forms = [
        ("RSA, PKCS#1", include_str!("../testdata/rsa.pkcs1.pem")),
        ("RSA, PKCS#8", include_str!("../testdata/rsa.pkcs8.pem")),
        ("P-256, SEC1", include_str!("../testdata/p256.sec1.pem")),
        ("P-256, PKCS#8", include_str!("../testdata/p256.pkcs8.pem")),
        ("P-384, SEC1", include_str!("../testdata/p384.sec1.pem")),
        ("P-384, PKCS#8", include_str!("../testdata/p384.pkcs8.pem")),
    ];
    for (form, text) in forms {
        let key = PrivateKey::from_pem(text);
        assert!(key.is_ok(), "{form}: {key:?}");
    }
}

#[test]
fn an_rsa_key_is_written_as_pkcs1_byte_for_byte() {
    let pkcs1 = include_str!("../testdata/rsa.pkcs1.pem");
    for text in [pkcs1, include_str!("../testdata/rsa.pkcs8.pem")] {
        let key = PrivateKey::from_pem(text).expect("a valid key");
        assert_eq!(key.to_pem(), pkcs1);
    }
}

#[test]
fn an_elliptic_key_survives_its_own_pem() {
    let key = PrivateKey::generate_p256().expect("randomness");
    let text = key.to_pem();
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{text}");
    let again = PrivateKey::from_pem(&text).expect("our own key");
    assert_eq!(again.to_der(), key.to_der());
}

#[test]
fn debug_output_does_not_show_the_key() {
    let key = PrivateKey::generate_p256().expect("randomness");
    assert_eq!(format!("{key:?}").lines().count(), 1);
    assert!(!format!("{key:?}").contains("302"), "{key:?}");
}

#[test]
fn text_without_a_key_is_said_to_have_none() {
    for text in ["", "no pem at all"] {
        assert!(matches!(
            PrivateKey::from_pem(text),
            Err(Error::Missing { .. })
        ));
    }
    let certificate = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(
        PrivateKey::from_pem(certificate),
        Err(Error::UnsupportedKey(_))
    ));
}
