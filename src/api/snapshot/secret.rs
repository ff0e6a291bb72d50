//! Secrets: certificates and keys that gateways show.

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

/// Certificates of authorities, in PEM.
#[derive(Clone, PartialEq, Eq)]
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

#[cfg(test)]
mod tests {
    use super::Secret;
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
    fn nothing_of_it_is_printed() {
        let object = json!({"stringData": {"cert": "a-secret", "key": "a-secret"}});
        let printed = format!("{:?}", Secret::of(&object));
        assert!(
            !printed.contains("a-secret") && !printed.contains("97"),
            "{printed}"
        );
    }
}
