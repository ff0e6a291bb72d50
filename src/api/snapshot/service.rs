//! What the mesh reads of Kubernetes Services and EndpointSlices.

use super::{Address, Labels, Meta};

/// A Kubernetes Service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Name, namespace, creation, labels.
    pub meta: Meta,
    /// `spec.clusterIPs`, without `None`.
    pub addresses: Vec<String>,
    /// `spec.clusterIP: None`.
    pub headless: bool,
    /// Target of `spec.type: ExternalName`.
    pub external_name: Option<String>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `spec.selector`; absent selectors select nothing.
    pub selector: Option<Labels>,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready: bool,
    /// Annotation `networking.istio.io/exportTo`, split.
    pub export_to: Option<Vec<String>>,
    /// `PreferClose`, `PreferSameZone` or `PreferSameNode`: annotation
    /// `networking.istio.io/traffic-distribution`, or `spec.trafficDistribution`.
    pub traffic_distribution: Option<String>,
    /// `spec.internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// Annotation `alpha.istio.io/kubernetes-serviceaccounts` and its canonical form, split.
    pub extra_accounts: Vec<String>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Name, possibly empty.
    pub name: String,
    /// The port that clients use.
    pub number: u16,
    /// TCP, UDP or SCTP.
    pub transport: Transport,
    /// `appProtocol`.
    pub app_protocol: Option<String>,
    /// `targetPort`.
    pub target: TargetPort,
}

/// Transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, the default.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// `targetPort`: a number, or the name of a container port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// By number.
    Number(u16),
    /// By the name of a container port.
    Name(String),
}

/// An EndpointSlice.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSlice {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// Label `kubernetes.io/service-name`.
    pub service: String,
    /// Port names and numbers.
    pub ports: Vec<(String, u16)>,
    /// Its endpoints.
    pub endpoints: Vec<SliceEndpoint>,
}

/// One endpoint of a slice.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceEndpoint {
    /// Addresses, usually one.
    pub addresses: Vec<Address>,
    /// `conditions.ready`, true when absent.
    pub ready: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// `targetRef` when it is a Pod: namespace and name.
    pub pod: Option<(String, String)>,
    /// `nodeName`.
    pub node: Option<String>,
    /// `hostname`.
    pub hostname: Option<String>,
}
