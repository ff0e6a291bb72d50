//! Signing: the self-signed root, and certificates for servers of the control plane.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use crate::{Certificate, Error, PrivateKey};

/// How far the start of a leaf lies in the past, so that a peer whose clock is late accepts it (upstream: 2 min).
pub(crate) const CLOCK_SKEW: Duration = Duration::minutes(2);

/// A fresh certificate with its key.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    /// Its key.
    pub key: PrivateKey,
}

/// A CA certificate with its key, known to be a pair.
#[derive(Debug)]
pub struct Signer {
    certificate: Certificate,
    key: PrivateKey,
    /// Its name, byte for byte as its certificates name their issuer.
    subject: Vec<u8>,
    /// By which certificates say which of the keys of that name signed them.
    key_identifier: Option<Vec<u8>>,
}

/// A self-signed root for `trust_domain`, as upstream makes it: RSA 2048, subject `O=<trust domain>`,
/// key usage certSign only, critical basic constraints, random 128-bit serial, valid from `now` for `lifetime`.
///
/// # Errors
/// When the system gives no randomness.
pub fn self_signed_root(
    trust_domain: &str,
    now: OffsetDateTime,
    lifetime: Duration,
) -> Result<Issued, Error> {
    let key = PrivateKey::generate_rsa_2048()?;
    let mut params = params(now, now + lifetime)?;
    params
        .distinguished_name
        .push(DnType::OrganizationName, trust_domain);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = params.self_signed(key.pair())?;
    Ok(Issued {
        certificate: Certificate::from_der(certificate.der())?,
        key,
    })
}

impl Signer {
    /// Joins a CA certificate and its key.
    ///
    /// # Errors
    /// [`Error::NotACa`] or [`Error::KeyMismatch`].
    pub fn new(certificate: Certificate, key: PrivateKey) -> Result<Self, Error> {
        if !certificate.is_ca {
            return Err(Error::NotACa {
                subject: certificate.subject,
            });
        }
        if certificate.public_key()? != key.pair().subject_public_key_info() {
            return Err(Error::KeyMismatch {
                subject: certificate.subject,
            });
        }
        let (subject, key_identifier) = certificate.as_issuer()?;
        Ok(Signer {
            certificate,
            key,
            subject,
            key_identifier,
        })
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        self.key.pair()
    }

    pub(crate) fn subject(&self) -> &[u8] {
        &self.subject
    }

    pub(crate) fn key_identifier(&self) -> Option<&[u8]> {
        self.key_identifier.as_deref()
    }

    /// The certificate, if it may sign at `now`.
    pub(crate) fn valid_at(&self, now: OffsetDateTime) -> Result<&Certificate, Error> {
        let signer = &self.certificate;
        if now < signer.not_before || now > signer.not_after {
            return Err(Error::NotValidNow {
                subject: signer.subject.clone(),
                not_before: signer.not_before,
                not_after: signer.not_after,
                now,
            });
        }
        Ok(signer)
    }

    /// The CA certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The CA key as PEM.
    pub fn key_pem(&self) -> String {
        self.key.to_pem()
    }

    /// A certificate with a fresh P-256 key for a server that answers to `hosts`; it ends with the signer at the latest.
    ///
    /// # Errors
    /// [`Error::NotValidNow`] when the signer is not valid at `now`; [`Error::Signing`] when a host is no DNS name, or
    /// when the signer's subject is of a form that cannot be repeated exactly as issuer.
    pub fn issue_serving(
        &self,
        hosts: &[String],
        now: OffsetDateTime,
        lifetime: Duration,
    ) -> Result<Issued, Error> {
        let signer = self.valid_at(now)?;
        let key = PrivateKey::generate_p256()?;
        let mut params = params(now - CLOCK_SKEW, signer.not_after.min(now + lifetime))?;
        params.subject_alt_names = CertificateParams::new(hosts.to_vec())?.subject_alt_names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;

        let issuer = Issuer::from_ca_cert_der(signer.der(), self.key.pair())?;
        let der = params.signed_by(key.pair(), &issuer)?;
        let certificate = Certificate::from_der(der.der())?;
        // rcgen rebuilds the issuer's name from its parts; repeated attributes would be lost, so check the result.
        crate::verify(&certificate, &[], std::slice::from_ref(signer), now)?;
        Ok(Issued { certificate, key })
    }
}

fn params(
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
) -> Result<CertificateParams, Error> {
    let mut serial = [0u8; 16];
    SystemRandom::new()
        .fill(&mut serial)
        .map_err(|_| rcgen::Error::RingUnspecified)?;
    // A leading zero bit keeps the DER integer within 16 octets.
    serial[0] &= 0x7f;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = not_before;
    params.not_after = not_after;
    Ok(params)
}

#[cfg(test)]
mod tests;
