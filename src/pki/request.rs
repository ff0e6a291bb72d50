//! Certificate signing requests (PKCS#10, RFC 2986): read and verified by the CA, written by workloads.
//! What a request says about its subject is not believed, so nothing of it is kept but the key.

use x509_parser::prelude::{FromDer, X509CertificationRequest};

use crate::{Error, PrivateKey, der, pem};

/// Longest request that is read, in bytes: an RSA key of 8192 bits needs a tenth of it.
const MAX_LENGTH: usize = 64 * 1024;
const LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// A request whose signature was verified: whoever made it has the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningRequest {
    /// SubjectPublicKeyInfo, byte for byte.
    pub(crate) public_key: Vec<u8>,
    /// Whether its subject has a common name; what name does not matter.
    pub has_common_name: bool,
}

impl SigningRequest {
    /// Reads and verifies the request in `text`.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Malformed`] when there is none, [`Error::NotProven`] when its signature is not
    /// that of the key in it, or made with an algorithm that is too weak.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let malformed = |reason: String| Error::Malformed {
            what: "certificate signing request",
            reason,
        };
        if text.len() > MAX_LENGTH {
            return Err(malformed(format!("longer than {MAX_LENGTH} bytes")));
        }
        let block = pem::decode(text)
            .filter(|block| LABELS.contains(&block.tag()))
            .ok_or(Error::Missing {
                wanted: "certificate signing request",
            })?;
        let (rest, request) = X509CertificationRequest::from_der(block.contents())
            .map_err(|error| malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("more bytes follow it".to_owned()));
        }
        request
            .verify_signature()
            .map_err(|error| Error::NotProven(error.to_string()))?;
        let info = &request.certification_request_info;
        let has_common_name = info
            .subject
            .iter_common_name()
            .any(|name| name.as_str().is_ok_and(|name| !name.is_empty()));
        Ok(SigningRequest {
            public_key: info.subject_pki.raw.to_vec(),
            has_common_name,
        })
    }
}

/// A request for a certificate of `key` with the one URI `uri`, as PEM. The subject is empty.
///
/// # Errors
/// When `key` cannot sign.
pub fn signing_request(key: &PrivateKey, uri: &str) -> Result<String, Error> {
    /// extensionRequest (RFC 2985).
    const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
    let names = der::extension(
        &crate::workload::ALTERNATIVE_NAME,
        true,
        &der::uri_names(uri),
    );
    let attribute = der::sequence(&[
        &der::element(der::OID, &[EXTENSION_REQUEST]),
        &der::element(der::SET, &[&der::sequence(&[&names])]),
    ]);
    let info = der::sequence(&[
        &der::element(der::INTEGER, &[&[0]]),
        &der::sequence(&[]),
        &key.public_key(),
        &der::element(0xa0, &[&attribute]),
    ]);
    Ok(pem::encode(LABELS[0], &der::signed(&info, key.pair())?))
}

#[cfg(test)]
mod tests;
