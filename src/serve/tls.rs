//! TLS for servers whose certificate changes while they run. The certificate is a watch value, read at each
//! handshake, and so are the roots by which clients are judged; connections that are open keep theirs.

mod clients;

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

pub use clients::Roots;

/// The serving certificate, `None` until there is one: handshakes are refused so long.
pub type Serving = watch::Receiver<Option<Arc<CertifiedKey>>>;

/// Key and certificates cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key or its pairing with the certificate.
    #[error("serving certificate: {0}")]
    Key(#[source] rustls::Error),
}

struct Reloading(Serving);

impl fmt::Debug for Reloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reloading(present: {})", self.0.borrow().is_some())
    }
}

impl ResolvesServerCert for Reloading {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.borrow().clone()
    }
}

/// Installs aws-lc-rs as the one TLS provider of the process. Call first in `main`; later calls change nothing.
pub fn install_provider() {
    // An error means that a provider is installed already.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Joins a chain, leaf first, and the leaf's key.
///
/// # Errors
/// [`Error::Key`] when the key is of no supported kind or belongs to another certificate.
pub fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
) -> Result<Arc<CertifiedKey>, Error> {
    let key = aws_lc_rs::sign::any_supported_type(key).map_err(Error::Key)?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(Error::Key)?;
    Ok(Arc::new(certified))
}

/// Whether a server asks its clients for certificates.
#[derive(Clone, Debug)]
pub enum Clients {
    /// It does not.
    Anonymous,
    /// Who has one that leads to a root of the moment may prove itself by it; who has none may connect too.
    MayProve(Roots),
}

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
pub fn server_config(serving: Serving, clients: Clients) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs supports TLS 1.2 and 1.3");
    let proving = matches!(clients, Clients::MayProve(_));
    let mut config = match clients {
        Clients::Anonymous => builder.with_no_client_auth(),
        Clients::MayProve(roots) => {
            builder.with_client_cert_verifier(clients::verifier(roots, provider))
        }
    }
    .with_cert_resolver(Arc::new(Reloading(serving)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if proving {
        // A resumed session would bring along what was judged by the roots of an earlier moment.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Arc::new(config)
}
