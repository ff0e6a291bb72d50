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
    /// `PASSTHROUGH`, `SIMPLE`, `MUTUAL`, `AUTO_PASSTHROUGH`, `ISTIO_MUTUAL`, `OPTIONAL_MUTUAL`.
    pub mode: Option<String>,
    /// Secret with certificate and key.
    pub credential_name: String,
    /// File of the certificate.
    pub server_certificate: String,
    /// File of the key.
    pub private_key: String,
    /// File of the roots of clients.
    pub ca_certificates: String,
}
