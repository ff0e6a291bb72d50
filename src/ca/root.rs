//! The CA in memory, read from a Secret of any of upstream's forms, and written as istio-ca-secret.

use std::collections::BTreeMap;

use base::names;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use pki::{Certificate, OffsetDateTime, PrivateKey, Signer};
use time::Duration;

const CA_CERT: &str = "ca-cert.pem";
const CA_KEY: &str = "ca-key.pem";
const CERT_CHAIN: &str = "cert-chain.pem";
const ROOT_CERT: &str = "root-cert.pem";

/// Lifetime of a self-signed root (upstream: CITADEL_SELF_SIGNED_CA_CERT_TTL).
const LIFETIME: Duration = Duration::days(3650);

/// Where a [`Root`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `istio-ca-secret`, made by a control plane.
    SelfSigned,
    /// `cacerts`, made by the user.
    PluggedIn,
}

/// The CA: who signs, and whom the mesh trusts.
#[derive(Debug)]
pub struct Root {
    /// Which Secret holds it.
    pub source: Source,
    signer: Signer,
    /// Between the signer and the roots, nearest first; empty when the signer is a root itself.
    intermediates: Vec<Certificate>,
    roots: Vec<Certificate>,
    roots_pem: String,
}

/// A Secret that cannot be used as a CA.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A key is absent or empty.
    #[error(
        "{0} is missing, expected {expected}",
        expected = "ca-cert.pem, ca-key.pem, cert-chain.pem and root-cert.pem, or tls.crt, tls.key and ca.crt"
    )]
    Incomplete(&'static str),
    /// A key holds something else.
    #[error("{key}: {source}")]
    Invalid {
        /// The key of the Secret.
        key: &'static str,
        /// What is wrong.
        source: pki::Error,
    },
}

impl Root {
    /// A fresh self-signed root.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate(trust_domain: &str, now: OffsetDateTime) -> Result<Self, pki::Error> {
        let issued = pki::self_signed_root(trust_domain, now, LIFETIME)?;
        let signer = Signer::new(issued.certificate, issued.key)?;
        Ok(Root {
            source: Source::SelfSigned,
            intermediates: Vec::new(),
            roots: vec![signer.certificate().clone()],
            roots_pem: signer.certificate().to_pem(),
            signer,
        })
    }

    /// Reads `istio-ca-secret`. Only the CA's certificate and key count: rotation leaves `root-cert.pem` as it was.
    ///
    /// # Errors
    /// [`Unusable`]; the CA must also be valid at `now`.
    pub fn self_signed(secret: &Secret, now: OffsetDateTime) -> Result<Self, Unusable> {
        let signer = signer(secret, CA_CERT, CA_KEY)?;
        let root = signer.certificate().clone();
        pki::verify(&root, &[], std::slice::from_ref(&root), now).map_err(invalid(CA_CERT))?;
        Ok(Root {
            source: Source::SelfSigned,
            roots_pem: root.to_pem(),
            roots: vec![root],
            intermediates: Vec::new(),
            signer,
        })
    }

    /// Reads `cacerts` in Istio's form, or in that of `kubernetes.io/tls` when it has `tls.crt`.
    ///
    /// # Errors
    /// [`Unusable`]; a chain must lead from the signing certificate to a root at `now`.
    pub fn plugged_in(secret: &Secret, now: OffsetDateTime) -> Result<Self, Unusable> {
        let tls = value(secret, "tls.crt").is_some();
        let [cert, key, chain, root] = if tls {
            ["tls.crt", "tls.key", "tls.crt", "ca.crt"]
        } else {
            [CA_CERT, CA_KEY, CERT_CHAIN, ROOT_CERT]
        };
        let signer = signer(secret, cert, key)?;
        let bundle = |key| pki::parse_bundle(required(secret, key)?).map_err(invalid(key));
        let roots = bundle(root)?;
        let mut intermediates = bundle(chain)?;
        pki::verify(signer.certificate(), &intermediates, &roots, now).map_err(invalid(cert))?;
        intermediates.retain(|link| link != signer.certificate());
        if !roots.contains(signer.certificate()) {
            intermediates.insert(0, signer.certificate().clone());
        }
        Ok(Root {
            source: Source::PluggedIn,
            roots_pem: roots.iter().map(Certificate::to_pem).collect(),
            roots,
            intermediates,
            signer,
        })
    }

    /// The certificates that the mesh trusts, as PEM; what `istio-ca-root-cert` holds.
    pub fn roots_pem(&self) -> &str {
        &self.roots_pem
    }

    /// The certificates that the mesh trusts.
    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    /// What a server sends after its own certificate: the signer and its issuers, without the roots.
    pub fn intermediates(&self) -> impl Iterator<Item = &Certificate> {
        let roots = &self.roots;
        self.intermediates
            .iter()
            .filter(move |link| !roots.contains(link))
    }

    /// Who signs.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// `istio-ca-secret` as upstream creates it.
    pub fn to_secret(&self, namespace: &str) -> Secret {
        let certificate = self.signer.certificate().to_pem();
        let data = [
            (CA_CERT, certificate.clone()),
            (CA_KEY, self.signer.key_pem()),
            (ROOT_CERT, certificate),
            (CERT_CHAIN, String::new()),
            ("key.pem", String::new()),
        ];
        Secret {
            metadata: ObjectMeta {
                name: Some(names::CA_SECRET.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..Default::default()
            },
            type_: Some(names::CA_SECRET_TYPE.to_owned()),
            data: Some(BTreeMap::from(data.map(|(key, value)| {
                (key.to_owned(), ByteString(value.into_bytes()))
            }))),
            ..Default::default()
        }
    }
}

impl PartialEq for Root {
    /// Equal certificates; a key belongs to its certificate.
    fn eq(&self, other: &Root) -> bool {
        self.source == other.source
            && self.signer.certificate() == other.signer.certificate()
            && self.intermediates == other.intermediates
            && self.roots == other.roots
    }
}

fn signer(secret: &Secret, cert: &'static str, key: &'static str) -> Result<Signer, Unusable> {
    let certificate = Certificate::from_pem(required(secret, cert)?).map_err(invalid(cert))?;
    let private = PrivateKey::from_pem(required(secret, key)?).map_err(invalid(key))?;
    Signer::new(certificate, private).map_err(invalid(cert))
}

fn invalid(key: &'static str) -> impl Fn(pki::Error) -> Unusable {
    move |source| Unusable::Invalid { key, source }
}

fn value<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    let bytes = &secret.data.as_ref()?.get(key)?.0;
    std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.is_empty())
}

fn required<'a>(secret: &'a Secret, key: &'static str) -> Result<&'a str, Unusable> {
    value(secret, key).ok_or(Unusable::Incomplete(key))
}

#[cfg(test)]
mod tests;
