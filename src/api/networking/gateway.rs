//! Gateway: the servers of a gateway workload.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Port;

/// `spec` of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gateway {
    /// Its servers.
    pub servers: Vec<Server>,
    /// Labels of the workloads that serve it.
    pub selector: BTreeMap<String, String>,
}

/// One server.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Server {
    /// Where it listens.
    pub port: Port,
    /// Address to bind to.
    pub bind: String,
    /// Hosts, `namespace/host` limits whose routes apply.
    pub hosts: Vec<String>,
    /// TLS.
    pub tls: Option<ServerTls>,
    /// Its name.
    pub name: String,
}

/// TLS of a server.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerTls {
    /// Answer plaintext requests with a redirect.
    pub https_redirect: bool,
    /// How TLS is ended, or not.
    pub mode: ServerTlsMode,
    /// Secret with certificate and key.
    pub credential_name: String,
    /// Several of these, for several kinds of keys.
    pub credential_names: Vec<String>,
    /// Secret or ConfigMap with the roots of clients, when it is another than the certificate's.
    pub ca_cert_credential_name: String,
    /// File of the certificate.
    pub server_certificate: String,
    /// File of the key.
    pub private_key: String,
    /// File of the roots of clients.
    pub ca_certificates: String,
    /// File of the revocation list of clients.
    pub ca_crl: String,
    /// Several certificates as files.
    pub tls_certificates: Vec<TlsCertificate>,
    /// Names that a client's certificate may have.
    pub subject_alt_names: Vec<String>,
    /// Hashes of the keys that a client's certificate may have.
    pub verify_certificate_spki: Vec<String>,
    /// Hashes that a client's certificate may have.
    pub verify_certificate_hash: Vec<String>,
    /// Do not check who issued a client's certificate.
    pub insecure_skip_verify: bool,
    /// `TLS_AUTO`, `TLSV1_0` to `TLSV1_3`.
    pub min_protocol_version: String,
    /// `TLS_AUTO`, `TLSV1_0` to `TLSV1_3`.
    pub max_protocol_version: String,
    /// Ciphers of TLS up to 1.2.
    pub cipher_suites: Vec<String>,
}

/// A certificate as files.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsCertificate {
    /// File of the certificate.
    pub server_certificate: String,
    /// File of its key.
    pub private_key: String,
}

/// How a server ends TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServerTlsMode {
    /// Not at all: connections go on by the server name.
    #[default]
    Passthrough,
    /// With a certificate.
    Simple,
    /// With a certificate, and clients must have one too.
    Mutual,
    /// Not at all: the server name says service, port and subset.
    AutoPassthrough,
    /// With the workload's certificate, for clients of the mesh.
    IstioMutual,
    /// With a certificate, and clients may have one too.
    OptionalMutual,
}

impl ServerTlsMode {
    /// Whether TLS goes through.
    pub fn is_passthrough(self) -> bool {
        matches!(
            self,
            ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough
        )
    }
}

/// Ciphers that Envoy's BoringSSL knows, by OpenSSL's names (source: upstream's pkg/config/security).
pub const CIPHERS: [&str; 15] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];
