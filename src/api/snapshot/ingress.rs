//! Ingress and IngressClass of networking.k8s.io, with the fields that the mesh reads.

use super::Meta;

/// An Ingress.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingress {
    /// Name, namespace, creation.
    pub meta: Meta,
    /// The class by the annotation `kubernetes.io/ingress.class`.
    pub annotated_class: Option<String>,
    /// The class by `spec.ingressClassName`.
    pub class: Option<String>,
    /// Certificates.
    pub tls: Vec<IngressTls>,
    /// Hosts and their paths.
    pub rules: Vec<IngressRule>,
}

/// A certificate of an Ingress.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressTls {
    /// For these hosts; empty for all.
    pub hosts: Vec<String>,
    /// The secret; empty when none is named.
    pub secret: String,
}

/// A host of an Ingress.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressRule {
    /// The host, empty for all.
    pub host: String,
    /// Where its paths lead; `None` when it says nothing of HTTP.
    pub paths: Option<Vec<IngressPath>>,
}

/// A path of an Ingress.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressPath {
    /// The path.
    pub path: String,
    /// How it is compared.
    pub kind: PathKind,
    /// The Service behind it; `None` when it is none.
    pub backend: Option<IngressBackend>,
}

/// How a path is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// As a whole.
    Exact,
    /// By its first elements.
    Prefix,
    /// As the implementation likes: whole, or as a prefix when it ends in `/*` or `.*`.
    Implementation,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressBackend {
    /// The Service, in the Ingress's namespace.
    pub service: String,
    /// Its port.
    pub port: BackendPort,
}

/// A port by number or name.
#[derive(Clone, Debug, PartialEq)]
pub enum BackendPort {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

/// An IngressClass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressClass {
    /// `spec.controller`.
    pub controller: String,
}
