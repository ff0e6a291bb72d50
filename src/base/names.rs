//! Names of objects, ports and files that several rooms must agree on; all are upstream's.

/// Default root namespace of the mesh.
pub const ISTIO_SYSTEM: &str = "istio-system";
/// Secret that holds the self-signed CA, type [`CA_SECRET_TYPE`].
pub const CA_SECRET: &str = "istio-ca-secret";
/// Secret of a plugged-in CA; it wins over [`CA_SECRET`].
pub const PLUGGED_IN_CA_SECRET: &str = "cacerts";
/// `type` of [`CA_SECRET`].
pub const CA_SECRET_TYPE: &str = "istio.io/ca-root";
/// ConfigMap with the root certificate, in every namespace.
pub const ROOT_CERT_CONFIG_MAP: &str = "istio-ca-root-cert";
/// Key of the root certificate in [`ROOT_CERT_CONFIG_MAP`].
pub const ROOT_CERT_KEY: &str = "root-cert.pem";
/// Namespaces that never get the root certificate.
pub const NAMESPACES_WITHOUT_ROOT_CERT: [&str; 3] =
    ["kube-public", "kube-node-lease", "local-path-storage"];
/// Lease of whoever keeps the CA's objects.
pub const CA_LEASE: &str = "istio-namespace-controller-election";
/// Lease of the operator that reconciles.
pub const OPERATOR_LEASE: &str = "istio-operator-lock";
/// Lease of the replica that starts its hosted control plane anew.
pub const HOSTING_LEASE: &str = "istio-operator-hosting";
/// Audience of the service account tokens that proxies present.
pub const TOKEN_AUDIENCE: &str = "istio-ca";
/// Trust domain when the mesh config names none.
pub const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";

/// Ports of the control plane.
pub mod port {
    /// Readiness and debug HTTP.
    pub const HTTP: u16 = 8080;
    /// xDS in plaintext.
    pub const XDS_PLAINTEXT: u16 = 15010;
    /// xDS and certificate signing over TLS.
    pub const XDS: u16 = 15012;
    /// Metrics and version.
    pub const MONITORING: u16 = 15014;
    /// Webhooks.
    pub const WEBHOOK: u16 = 15017;
}
