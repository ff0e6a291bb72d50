//! Keeps the workload's certificate: key and request are made anew each time, and the last good certificate is served
//! until its successor is there. When one is asked for is decided in `renewal`.

mod settings;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use pki::{Certificate, PrivateKey};
use tokio::sync::watch;

use crate::ca_client::{CaClient, CaError};
use crate::metrics::{Metrics, unix_seconds};
use crate::renewal::{Policy, Renewal, Step};
use crate::secret::{self, Secrets, Versioned};
pub use settings::{Unsupported, workload};

/// How often the file of roots and the wall clock are looked at. The kubelet takes a minute to write a changed file.
const LOOK: Duration = Duration::from_secs(10);

/// What kind of key a workload has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256: made in microseconds where RSA takes a tenth of a second, and as strong as RSA of 3072 bits.
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA with that many bits.
    Rsa(u32),
}

/// Who is to be certified, and by whom.
#[derive(Debug)]
pub struct Workload {
    /// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
    pub identity: String,
    /// Of its keys.
    pub key: KeyKind,
    /// When certificates are renewed.
    pub policy: Policy,
    /// Who issues them.
    pub ca: CaClient,
    /// A file with more roots that peers may have certificates of: that of the control plane, where it is the CA too,
    /// so that new roots are trusted before anybody has a certificate of them.
    pub roots: Option<PathBuf>,
}

/// There is no certificate.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("no key or signing request could be made: {0}")]
    Key(pki::Error),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error("the CA answered with {0} certificates, expected a chain and its roots")]
    Short(usize),
    #[error("the CA's certificate cannot be used: {0}")]
    Certificate(pki::Error),
    #[error("the CA certified another key")]
    OtherKey,
}

/// A certificate with its key, and what the CA says about roots.
struct Obtained {
    chain: String,
    key: String,
    roots: String,
    until: SystemTime,
}

/// Keeps `secrets` up to date until it is dropped.
pub async fn keep(
    workload: Workload,
    secrets: watch::Sender<Arc<Secrets>>,
    metrics: Arc<Metrics>,
) -> Infallible {
    let mut renewal = Renewal::new(workload.policy, SystemTime::now());
    let mut ca_roots = String::new();
    let mut file_roots = workload.file_roots();
    loop {
        match renewal.next(SystemTime::now()) {
            Step::Request => {
                metrics.certificate_requests.increment();
                let obtained = workload.obtain().await;
                let now = SystemTime::now();
                match obtained {
                    Ok(obtained) => {
                        renewal.issued(now, obtained.until, fastrand::f64());
                        file_roots = workload.file_roots();
                        let roots = union(&obtained.roots, &file_roots);
                        ca_roots = obtained.roots;
                        let own = secret::own(&obtained.chain, &obtained.key);
                        publish(&secrets, Some(own), &roots);
                        let until = unix_seconds(obtained.until);
                        metrics.certificate_end.store(until, Ordering::Relaxed);
                        metrics.certificate_issued.send_modify(|count| *count += 1);
                        let left = obtained.until.duration_since(now).unwrap_or_default();
                        tracing::info!("certified as {} for {left:.0?}", workload.identity);
                    }
                    Err(failed) => {
                        renewal.failed(now, fastrand::f64());
                        metrics.certificate_failures.increment();
                        tracing::warn!("no certificate: {failed}");
                    }
                }
            }
            Step::Wait(wait) => {
                tokio::time::sleep(wait.min(LOOK)).await;
                let found = workload.file_roots();
                if found != file_roots && !found.is_empty() && !ca_roots.is_empty() {
                    tracing::info!("the roots have changed");
                    publish(&secrets, None, &union(&ca_roots, &found));
                    if certificates(&ca_roots).all(|root| !found.contains(root)) {
                        // Peers will stop to trust what we have.
                        renewal.hurry();
                    }
                    file_roots = found;
                }
            }
        }
    }
}

impl Workload {
    async fn obtain(&self) -> Result<Obtained, Failed> {
        let key = generate(self.key).await.map_err(Failed::Key)?;
        let request = pki::signing_request(&key, &self.identity).map_err(Failed::Key)?;
        let chain = self.ca.certify(&request).await?;
        let [leaf, intermediates @ .., roots] = &chain[..] else {
            return Err(Failed::Short(chain.len()));
        };
        let certificate = Certificate::from_pem(leaf).map_err(Failed::Certificate)?;
        pki::parse_bundle(roots).map_err(Failed::Certificate)?;
        if !certificate.is_for(&key) {
            return Err(Failed::OtherKey);
        }
        if certificate.alternative_names != [self.identity.as_str()] {
            let names = certificate.alternative_names.join(", ");
            tracing::warn!("certified as {names}, expected {}", self.identity);
        }
        Ok(Obtained {
            // Peers have the roots, so they are not sent to them.
            chain: std::iter::once(leaf)
                .chain(intermediates)
                .map(|one| one.trim_end().to_owned() + "\n")
                .collect(),
            key: key.to_pem(),
            roots: roots.clone(),
            until: certificate.not_after.into(),
        })
    }

    /// Empty without a file.
    fn file_roots(&self) -> String {
        let read = |path| std::fs::read_to_string(path).ok();
        self.roots.as_ref().and_then(read).unwrap_or_default()
    }
}

async fn generate(kind: KeyKind) -> Result<PrivateKey, pki::Error> {
    match kind {
        KeyKind::P256 => PrivateKey::generate_p256(),
        KeyKind::P384 => PrivateKey::generate_p384(),
        // Long enough to hold up everything else on the one thread.
        KeyKind::Rsa(bits) => tokio::task::spawn_blocking(move || PrivateKey::generate_rsa(bits))
            .await
            .expect("key generation does not panic"),
    }
}

/// Changes what differs; versions count up.
fn publish(secrets: &watch::Sender<Arc<Secrets>>, own: Option<bytes::Bytes>, roots: &str) {
    secrets.send_if_modified(|current| {
        let mut next = Secrets::clone(current);
        if let Some(own) = own {
            change(&mut next.own, own);
        }
        change(&mut next.roots, secret::roots(roots));
        let differs = next != **current;
        *current = Arc::new(next);
        differs
    });
}

fn change(secret: &mut Option<Versioned>, bytes: bytes::Bytes) {
    let version = match secret {
        Some(current) if current.bytes == bytes => return,
        Some(current) => current.version.parse().unwrap_or(0_u64) + 1,
        None => 1,
    };
    *secret = Some(Versioned {
        version: version.to_string(),
        bytes,
    });
}

/// All certificates of both texts, each once.
fn union(first: &str, second: &str) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for certificate in certificates(first).chain(certificates(second)) {
        if !seen.contains(&certificate) {
            seen.push(certificate);
        }
    }
    seen.iter().flat_map(|one| [*one, "\n"]).collect()
}

/// The certificates in a text, as they stand there.
fn certificates(pem: &str) -> impl Iterator<Item = &str> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    pem.split_inclusive(END).filter_map(|part| {
        let certificate = &part[part.find(BEGIN)?..];
        certificate.ends_with(END).then_some(certificate)
    })
}

#[cfg(test)]
mod tests;
