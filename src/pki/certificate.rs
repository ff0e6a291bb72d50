//! Certificates as they are read: what they say, and whether roots vouch for them.
//! Does not judge host names or revocation.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use crate::{Error, PrivateKey, pem};

/// Longest chain that is followed, root included.
const MAX_CHAIN: usize = 10;

/// One certificate: its bytes, and the parts that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    /// Subject as text, `O=cluster.local`.
    pub subject: String,
    /// First valid moment.
    pub not_before: OffsetDateTime,
    /// Last valid moment.
    pub not_after: OffsetDateTime,
    /// Whether it may sign others.
    pub is_ca: bool,
    /// DNS names and URIs of the subject alternative names, in order.
    pub alternative_names: Vec<String>,
    /// The URIs among them.
    pub uris: Vec<String>,
}

impl Certificate {
    /// Reads one certificate.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let x509 = parse(der)?;
        let names = x509.subject_alternative_name().ok().flatten();
        let names = names.map_or(&[][..], |names| names.value.general_names.as_slice());
        let uri = |name: &GeneralName<'_>| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        };
        Ok(Certificate {
            subject: x509.subject().to_string(),
            not_before: x509.validity().not_before.to_datetime(),
            not_after: x509.validity().not_after.to_datetime(),
            is_ca: x509.is_ca(),
            alternative_names: names.iter().filter_map(text).collect(),
            uris: names.iter().filter_map(uri).collect(),
            der: CertificateDer::from(der.to_vec()),
        })
    }

    /// Reads the first certificate in `text`.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Malformed`].
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let mut all = parse_bundle(text)?;
        Ok(all.swap_remove(0))
    }

    /// Its bytes.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// It as PEM, with a final newline.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }

    /// Serial number as text, hexadecimal octets joined by colons.
    ///
    /// # Errors
    /// [`Error::Malformed`], which a certificate that was read before is not.
    pub fn serial(&self) -> Result<String, Error> {
        Ok(parse(&self.der)?.raw_serial_as_string())
    }

    /// Whether it certifies the public half of `key`.
    pub fn is_for(&self, key: &PrivateKey) -> bool {
        self.public_key().is_ok_and(|own| own == key.public_key())
    }

    /// Its subject's bytes and subject key identifier: what certificates that it signs repeat.
    pub(crate) fn as_issuer(&self) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
        let x509 = parse(&self.der)?;
        let identifier =
            x509.iter_extensions()
                .find_map(|extension| match extension.parsed_extension() {
                    ParsedExtension::SubjectKeyIdentifier(identifier) => {
                        Some(identifier.0.to_vec())
                    }
                    _ => None,
                });
        Ok((x509.subject().as_raw().to_vec(), identifier))
    }

    /// Its public key, as SubjectPublicKeyInfo.
    pub(crate) fn public_key(&self) -> Result<Vec<u8>, Error> {
        Ok(parse(&self.der)?.public_key().raw.to_vec())
    }
}

/// Reads every certificate in `text`; never empty.
///
/// # Errors
/// [`Error::Missing`] when there is none, [`Error::Malformed`] when one does not decode.
pub fn parse_bundle(text: &str) -> Result<Vec<Certificate>, Error> {
    let ders: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| malformed(&error))?;
    if ders.is_empty() {
        return Err(Error::Missing {
            wanted: "certificate",
        });
    }
    ders.iter().map(|der| Certificate::from_der(der)).collect()
}

/// Checks that `certificate` is valid at `now` and that signatures lead from it, over CA certificates in
/// `intermediates`, to one of `roots`.
///
/// # Errors
/// [`Error::NotValidNow`] for the certificate or a link, [`Error::Untrusted`] when no chain is found.
pub fn verify(
    certificate: &Certificate,
    intermediates: &[Certificate],
    roots: &[Certificate],
    now: OffsetDateTime,
) -> Result<(), Error> {
    let untrusted = |reason: String| Error::Untrusted {
        subject: certificate.subject.clone(),
        reason,
    };
    let mut current = certificate;
    for _ in 0..MAX_CHAIN {
        if now < current.not_before || now > current.not_after {
            return Err(Error::NotValidNow {
                subject: current.subject.clone(),
                not_before: current.not_before,
                not_after: current.not_after,
                now,
            });
        }
        if roots.iter().any(|root| root.der == current.der) {
            return Ok(());
        }
        let child = parse(&current.der)?;
        let issuer = roots
            .iter()
            .chain(intermediates)
            .filter(|candidate| candidate.der != current.der && candidate.is_ca)
            .find(|candidate| signed(&child, candidate));
        current = issuer.ok_or_else(|| untrusted(format!("no issuer {}", child.issuer())))?;
    }
    Err(untrusted(format!(
        "its chain is longer than {MAX_CHAIN} certificates"
    )))
}

fn signed(child: &X509Certificate<'_>, issuer: &Certificate) -> bool {
    parse(&issuer.der).is_ok_and(|issuer| {
        issuer.subject().as_raw() == child.issuer().as_raw()
            && child.verify_signature(Some(issuer.public_key())).is_ok()
    })
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| malformed(&error))?;
    Ok(certificate)
}

fn malformed(error: &dyn std::fmt::Display) -> Error {
    Error::Malformed {
        what: "certificate",
        reason: error.to_string(),
    }
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
