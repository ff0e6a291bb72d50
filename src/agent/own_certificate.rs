//! The workload's own certificate as the agent shows it to the control plane, which then needs no review of a token.
//! One that a connection failed with is not shown again; the token does, until there is another certificate.

use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use crate::secret::{self, Secrets};

/// See the module. Clones share what they know.
#[derive(Clone, Debug)]
pub struct OwnCertificate {
    secrets: watch::Receiver<Arc<Secrets>>,
    /// Version of the certificate that is not shown again.
    failed: Arc<Mutex<Option<String>>>,
}

/// A certificate to be shown.
pub struct Shown {
    /// Which one it is.
    pub version: String,
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Of the leaf.
    pub key: PrivateKeyDer<'static>,
}

impl OwnCertificate {
    /// Shows the certificate that `secrets` has at the time.
    pub fn new(secrets: watch::Receiver<Arc<Secrets>>) -> OwnCertificate {
        OwnCertificate {
            secrets,
            failed: Arc::default(),
        }
    }

    /// The certificate to show now, if there is one.
    pub fn shown(&self) -> Option<Shown> {
        let secrets = self.secrets.borrow().clone();
        let own = secrets.own.as_ref()?;
        if self.lock().as_ref() == Some(&own.version) {
            return None;
        }
        let (chain, key) = secret::pem(&own.bytes)?;
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>();
        Some(Shown {
            version: own.version.clone(),
            chain: chain.ok()?,
            key: PrivateKeyDer::from_pem_slice(key.as_bytes()).ok()?,
        })
    }

    /// A connection that the certificate of this version was shown on has failed.
    pub fn failed(&self, version: String) {
        tracing::info!(
            "the control plane may not accept our certificate, the token is used instead"
        );
        *self.lock() = Some(version);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.failed.lock().expect("no panic while it is held")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;

    use super::OwnCertificate;
    use crate::secret::{self, Secrets, Versioned};

    fn secrets(version: &str) -> Arc<Secrets> {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["x".to_owned()]).expect("a certificate");
        let own = Versioned {
            version: version.to_owned(),
            bytes: secret::own(&cert.pem(), &signing_key.serialize_pem()),
        };
        Arc::new(Secrets {
            own: Some(own),
            roots: None,
        })
    }

    #[test]
    fn one_that_failed_is_not_shown_until_there_is_another() {
        let (sender, receiver) = watch::channel(Arc::default());
        let own = OwnCertificate::new(receiver);
        assert!(own.shown().is_none(), "there is none yet");
        sender.send_replace(secrets("1"));
        let shown = own.shown().expect("there is one");
        assert_eq!((shown.version.as_str(), shown.chain.len()), ("1", 1));
        own.clone().failed(shown.version);
        assert!(own.shown().is_none(), "it failed");
        sender.send_replace(secrets("2"));
        assert!(own.shown().is_some_and(|shown| shown.version == "2"));
    }
}
