//! TLS from this machine: an authority of a case's own, and requests that trust it alone.

use std::sync::Arc;

use base64::Engine;
use pki::{Issued, OffsetDateTime, Signer};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::http::{self, Answer};

/// A root, and what it signs.
pub struct Authority {
    signer: Signer,
}

impl Authority {
    /// A root of its own, whatever other has the same name.
    pub fn new(name: &str) -> Self {
        let root = pki::self_signed_root(name, OffsetDateTime::now_utc(), Duration::days(1));
        let root = root.expect("a root");
        let signer = Signer::new(root.certificate, root.key).expect("a signer");
        Self { signer }
    }

    /// The root's certificate.
    pub fn root_pem(&self) -> String {
        self.signer.certificate().to_pem()
    }

    /// A certificate for who answers to, or is called, `host`.
    pub fn issue(&self, host: &str) -> Issued {
        let now = OffsetDateTime::now_utc();
        let issued = self
            .signer
            .issue_serving(&[host.to_owned()], now, Duration::hours(1));
        issued.expect("a certificate")
    }

    /// A Secret for the server `host`; with `callers`, who has a certificate of theirs may call it.
    pub fn secret(&self, name: &str, host: &str, callers: Option<&Authority>) -> Value {
        let issued = self.issue(host);
        let encoded = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
        let mut data = json!({
            "tls.crt": encoded(issued.certificate.to_pem()),
            "tls.key": encoded(issued.key.to_pem()),
        });
        if let Some(callers) = callers {
            data["ca.crt"] = encoded(callers.root_pem()).into();
        }
        let kind = callers.map_or("kubernetes.io/tls", |_| "Opaque");
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "data": data,
        })
    }
}

/// `GET path` from the server `host` at `address` (host:port), which must have a certificate of `root`;
/// `own` is shown to it.
///
/// # Errors
/// When the handshake fails or no whole answer comes in time.
pub async fn get(
    address: &str,
    host: &str,
    path: &str,
    root_pem: &str,
    own: Option<&Issued>,
) -> Result<Answer, String> {
    let mut roots = RootCertStore::empty();
    for root in pki::parse_bundle(root_pem).map_err(|error| error.to_string())? {
        let added = roots.add(root.der().clone());
        added.map_err(|error| error.to_string())?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some(own) => config
            .with_client_auth_cert(vec![own.certificate.der().clone()], own.key.to_der())
            .map_err(|error| error.to_string())?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| format!("{address}: {error}"))?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = tokio::time::timeout(std::time::Duration::from_secs(5), connected).await;
    let stream = stream.map_err(|_| "no handshake within 5 s".to_owned())?;
    let stream = stream.map_err(|error| format!("handshake: {error}"))?;
    http::get_over(stream, host, path).await
}
