//! Secrets: certificates and keys that gateways show, and those who may sign the certificates of others, which
//! stand in ConfigMaps too.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// What a Secret holds that a proxy may use. Never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// A certificate with its key.
    pub certificate: Option<SecretCertificate>,
    /// Those who may sign certificates of callers.
    pub roots: Option<SecretRoots>,
}

/// A certificate with its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretCertificate {
    /// The certificate and those between it and its root.
    pub chain: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
    /// What its issuer says of its validity (OCSP).
    pub staple: Option<Vec<u8>>,
}

/// Certificates of authorities, in PEM: public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRoots {
    /// The certificates.
    pub certificates: Vec<u8>,
    /// Certificates that they revoked.
    pub revoked: Option<Vec<u8>>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("certificate", &self.certificate.is_some())
            .field("roots", &self.roots.is_some())
            .finish()
    }
}

impl Secret {
    /// Reads the `data` of a Secret, by the keys of generic and of TLS secrets; `None` when it
    /// holds nothing of use.
    pub(crate) fn of(object: &Value) -> Option<Self> {
        let value = |key: &str| -> Option<Vec<u8>> {
            let plain = object["stringData"][key]
                .as_str()
                .map(|text| text.as_bytes().to_vec());
            let encoded = || STANDARD.decode(object["data"][key].as_str()?).ok();
            plain.or_else(encoded).filter(|bytes| !bytes.is_empty())
        };
        let certificate = |chain: &str, key: &str, staple: Option<Vec<u8>>| {
            let (chain, key) = (value(chain)?, value(key)?);
            Some(SecretCertificate { chain, key, staple })
        };
        let roots = |certificates: &str, revoked: &str| {
            let (certificates, revoked) = (value(certificates)?, value(revoked));
            Some(SecretRoots {
                certificates,
                revoked,
            })
        };
        let secret = Secret {
            certificate: certificate("cert", "key", None)
                .or_else(|| certificate("tls.crt", "tls.key", value("tls.ocsp-staple"))),
            roots: roots("cacert", "crl").or_else(|| roots("ca.crt", "ca.crl")),
        };
        (secret != Secret::default()).then_some(secret)
    }
}

impl SecretRoots {
    /// Reads the `data` of a ConfigMap, by the same keys; `None` when it holds nothing of use.
    pub(crate) fn of_config_map(object: &Value) -> Option<Self> {
        let value = |key: &str| {
            let text = object["data"][key].as_str().unwrap_or_default();
            (!text.is_empty()).then(|| text.as_bytes().to_vec())
        };
        [("cacert", "crl"), ("ca.crt", "ca.crl")]
            .into_iter()
            .find_map(|(certificates, revoked)| {
                Some(SecretRoots {
                    certificates: value(certificates)?,
                    revoked: value(revoked),
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::{Secret, SecretRoots};
    use serde_json::json;

    #[test]
    fn a_tls_secret_is_read_by_its_keys() {
        let object =
            json!({"data": {"tls.crt": "Y2VydA==", "tls.key": "a2V5", "ca.crt": "cm9vdA=="}});
        let secret = Secret::of(&object).expect("of use");
        let certificate = secret.certificate.expect("a certificate");
        assert_eq!(certificate.chain, b"cert");
        assert_eq!(certificate.key, b"key");
        assert_eq!(secret.roots.expect("roots").certificates, b"root");
    }

    #[test]
    fn generic_keys_go_before_those_of_tls() {
        let object =
            json!({"stringData": {"cert": "a", "key": "b", "tls.crt": "c", "tls.key": "d"}});
        let secret = Secret::of(&object).expect("of use");
        assert_eq!(secret.certificate.expect("a certificate").chain, b"a");
    }

    #[test]
    fn a_certificate_without_key_is_of_no_use() {
        assert_eq!(
            Secret::of(&json!({"data": {"tls.crt": "Y2VydA==", "tls.key": ""}})),
            None
        );
    }

    #[test]
    fn a_config_map_holds_authorities_in_plain_text_and_no_key() {
        let object =
            json!({"data": {"ca.crt": "root", "ca.crl": "gone", "tls.crt": "a", "tls.key": "b"}});
        let roots = SecretRoots::of_config_map(&object).expect("of use");
        assert_eq!(roots.certificates, b"root");
        assert_eq!(roots.revoked.as_deref(), Some(&b"gone"[..]));
        let of = |data: serde_json::Value| SecretRoots::of_config_map(&json!({"data": data}));
        let both = of(json!({"ca.crt": "second", "cacert": "first"})).expect("of use");
        assert_eq!(both.certificates, b"first");
        assert_eq!(of(json!({"root-cert.pem": "other", "ca.crt": ""})), None);
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let object = json!({"stringData": {"cert": "a-secret", "key": "a-secret"}});
        let printed = format!("{:?}", Secret::of(&object));
        assert!(
            !printed.contains("a-secret") && !printed.contains("97"),
            "{printed}"
        );
    }
}
