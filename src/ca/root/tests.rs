//! Every form of CA Secret that upstream writes or accepts.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use pki::{OffsetDateTime, Signer};
use time::Duration;

use super::{Root, Source, Unusable};

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a valid time")
}

fn signer() -> Signer {
    let issued = pki::self_signed_root("example.org", now(), Duration::days(30)).expect("a root");
    Signer::new(issued.certificate, issued.key).expect("a pair")
}

fn secret(data: &[(&str, &str)]) -> Secret {
    let entry = |(key, value): &(&str, &str)| {
        let value = ByteString(value.as_bytes().to_vec());
        ((*key).to_owned(), value)
    };
    Secret {
        data: Some(data.iter().map(entry).collect::<BTreeMap<_, _>>()),
        ..Default::default()
    }
}

#[test]
fn a_generated_root_is_stored_in_upstreams_form_and_read_back() {
    let root = Root::generate("example.org", now()).expect("a root");
    let stored = root.to_secret("istio-system");
    assert_eq!(stored.type_.as_deref(), Some("istio.io/ca-root"));
    assert_eq!(stored.metadata.name.as_deref(), Some("istio-ca-secret"));
    let data = stored.data.clone().expect("data");
    let text = |key: &str| String::from_utf8(data[key].0.clone()).expect("text");
    assert_eq!(text("ca-cert.pem"), root.roots_pem());
    assert_eq!(text("root-cert.pem"), root.roots_pem());
    assert!(text("ca-key.pem").starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    assert_eq!(
        (text("cert-chain.pem"), text("key.pem")),
        (String::new(), String::new())
    );
    let subject = &root.signer().certificate().subject;
    assert_eq!(subject, "O=example.org");

    let read = Root::self_signed(&stored, now()).expect("our own secret");
    assert_eq!(read, root);
}

#[test]
fn a_rotated_secret_counts_by_its_ca_certificate() {
    let (old, new) = (signer(), signer());
    let rotated = secret(&[
        ("ca-cert.pem", &new.certificate().to_pem()),
        ("ca-key.pem", &new.key_pem()),
        ("root-cert.pem", &old.certificate().to_pem()),
    ]);
    let root = Root::self_signed(&rotated, now()).expect("a CA");
    assert_eq!(root.roots(), [new.certificate().clone()]);
}

#[test]
fn cacerts_in_istios_form() {
    let (ca, other) = (signer(), signer());
    let pem = ca.certificate().to_pem();
    let roots = pem.clone() + &other.certificate().to_pem();
    let plugged = secret(&[
        ("ca-cert.pem", &pem),
        ("ca-key.pem", &ca.key_pem()),
        ("cert-chain.pem", &pem),
        ("root-cert.pem", &roots),
    ]);
    let root = Root::plugged_in(&plugged, now()).expect("a CA");
    assert_eq!(root.source, Source::PluggedIn);
    assert_eq!(root.roots().len(), 2);
    assert_eq!(root.roots_pem(), roots);
    assert_eq!(root.intermediates().count(), 0, "the signer is a root");
}

#[test]
fn cacerts_in_the_form_of_tls_secrets() {
    let ca = signer();
    let pem = ca.certificate().to_pem();
    let key = ca.key_pem();
    let plugged = secret(&[("tls.crt", &pem), ("tls.key", &key), ("ca.crt", &pem)]);
    let root = Root::plugged_in(&plugged, now()).expect("a CA");
    assert_eq!(root.roots_pem(), pem);
}

#[test]
fn incomplete_secrets_are_refused_by_the_missing_key() {
    let ca = signer();
    let pem = ca.certificate().to_pem();
    let key = ca.key_pem();
    let whole = [
        ("ca-cert.pem", pem.as_str()),
        ("ca-key.pem", key.as_str()),
        ("cert-chain.pem", pem.as_str()),
        ("root-cert.pem", pem.as_str()),
    ];
    assert!(Root::plugged_in(&secret(&whole), now()).is_ok());
    for (index, (missing, _)) in whole.iter().enumerate() {
        let mut absent = whole.to_vec();
        absent.remove(index);
        let mut empty = whole.to_vec();
        empty[index].1 = "";
        for data in [absent, empty] {
            match Root::plugged_in(&secret(&data), now()) {
                Err(Unusable::Incomplete(key)) => assert_eq!(key, *missing),
                other => panic!("without {missing}: {other:?}"),
            }
        }
    }
    assert!(Root::self_signed(&Secret::default(), now()).is_err());
}

#[test]
fn a_foreign_key_or_root_is_refused() {
    let (ca, other) = (signer(), signer());
    let (pem, foreign) = (ca.certificate().to_pem(), other.certificate().to_pem());
    let wrong_key = secret(&[("ca-cert.pem", &pem), ("ca-key.pem", &other.key_pem())]);
    let error = Root::self_signed(&wrong_key, now()).expect_err("not a pair");
    assert!(
        error
            .to_string()
            .starts_with("ca-cert.pem: the private key"),
        "{error}"
    );

    let unrelated = secret(&[
        ("ca-cert.pem", &pem),
        ("ca-key.pem", &ca.key_pem()),
        ("cert-chain.pem", &pem),
        ("root-cert.pem", &foreign),
    ]);
    assert!(Root::plugged_in(&unrelated, now()).is_err());
}

#[test]
fn an_expired_ca_is_refused() {
    let ca = signer();
    let expired = secret(&[
        ("ca-cert.pem", &ca.certificate().to_pem()),
        ("ca-key.pem", &ca.key_pem()),
    ]);
    assert!(Root::self_signed(&expired, now()).is_ok());
    assert!(Root::self_signed(&expired, now() + Duration::days(31)).is_err());
}

#[test]
fn debug_output_does_not_show_the_key() {
    let root = Root::generate("example.org", now()).expect("a root");
    let shown = format!("{root:?}");
    assert!(!shown.contains("PRIVATE"), "{shown}");
    let key = root.signer().key_pem();
    let line = key.lines().nth(1).expect("base64");
    assert!(!shown.contains(line));
}
