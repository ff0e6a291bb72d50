//! Private keys: generated, or loaded from any PEM form in which CA keys are found.

use std::fmt;

use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, PublicKeyData,
    RsaKeySize,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::{Error, pem};

/// A private key. Its `Debug` shows the algorithm only.
pub struct PrivateKey {
    pair: KeyPair,
    /// In the form in which it was loaded.
    der: PrivateKeyDer<'static>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({:?})", self.pair.algorithm())
    }
}

impl PrivateKey {
    /// A fresh ECDSA key on P-256: what leaves use.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate_p256() -> Result<Self, Error> {
        Ok(PrivateKey::generated(KeyPair::generate_for(
            &PKCS_ECDSA_P256_SHA256,
        )?))
    }

    /// A fresh ECDSA key on P-384.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate_p384() -> Result<Self, Error> {
        Ok(PrivateKey::generated(KeyPair::generate_for(
            &PKCS_ECDSA_P384_SHA384,
        )?))
    }

    /// A fresh RSA key of 2048 bits: what a self-signed root uses, as upstream's does.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate_rsa_2048() -> Result<Self, Error> {
        PrivateKey::generate_rsa(2048)
    }

    /// A fresh RSA key of 2048, 3072 or 4096 bits. Takes up to a second of a CPU.
    ///
    /// # Errors
    /// [`Error::UnsupportedKey`] for another size; when the system gives no randomness.
    pub fn generate_rsa(bits: u32) -> Result<Self, Error> {
        let size = match bits {
            2048 => RsaKeySize::_2048,
            3072 => RsaKeySize::_3072,
            4096 => RsaKeySize::_4096,
            _ => return Err(Error::UnsupportedKey(format!("RSA of {bits} bits"))),
        };
        Ok(PrivateKey::generated(KeyPair::generate_rsa_for(
            &PKCS_RSA_SHA256,
            size,
        )?))
    }

    /// Loads the first private key in `text`: PKCS#1, SEC1 or PKCS#8; RSA, P-256 or P-384.
    /// Other blocks, such as `EC PARAMETERS`, are passed over.
    ///
    /// # Errors
    /// [`Error::Missing`] without a key, [`Error::UnsupportedKey`] for another algorithm or a damaged key.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| Error::Missing {
            wanted: "private key",
        })?;
        let pair =
            KeyPair::try_from(&der).map_err(|error| Error::UnsupportedKey(error.to_string()))?;
        Ok(PrivateKey { pair, der })
    }

    fn generated(pair: KeyPair) -> Self {
        let der = PrivatePkcs8KeyDer::from(pair.serialize_der()).into();
        PrivateKey { pair, der }
    }

    /// The key as PEM: `RSA PRIVATE KEY` (PKCS#1) for RSA, the form that upstream writes into
    /// istio-ca-secret; the others as they were loaded, PKCS#8 when generated.
    pub fn to_pem(&self) -> String {
        match &self.der {
            PrivateKeyDer::Pkcs1(key) => pem::encode("RSA PRIVATE KEY", key.secret_pkcs1_der()),
            PrivateKeyDer::Sec1(key) => pem::encode("EC PRIVATE KEY", key.secret_sec1_der()),
            other => match pem::rsa_of_pkcs8(other.secret_der()) {
                Some(pkcs1) => pem::encode("RSA PRIVATE KEY", &pkcs1),
                None => pem::encode("PRIVATE KEY", other.secret_der()),
            },
        }
    }

    /// The key as DER, for a TLS stack.
    pub fn to_der(&self) -> PrivateKeyDer<'static> {
        self.der.clone_key()
    }

    /// Its public half, as SubjectPublicKeyInfo.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

#[cfg(test)]
mod tests;
