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
    /// `spec.trafficDistribution`, else annotation `networking.istio.io/traffic-distribution`.
    pub traffic_distribution: Option<TrafficDistribution>,
    /// `spec.internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// Addresses or names of its load balancer, and `spec.externalIPs`.
    pub external_addresses: Vec<String>,
    /// Its ports and the nodes' for them, when annotation `traffic.istio.io/nodeSelector` says
    /// which nodes lead to it.
    pub node_ports: Vec<(u16, u16)>,
    /// That annotation: labels of nodes whose external addresses lead to it.
    pub node_selector: Option<Labels>,
    /// Annotation `alpha.istio.io/kubernetes-serviceaccounts` and its canonical form, split.
    pub extra_accounts: Vec<String>,
}

/// Which endpoints callers are to prefer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrafficDistribution {
    /// None: something unknown is wished, which outdoes the wish of the namespace.
    Any,
    /// Those of the caller's zone; `PreferClose` is the same.
    SameZone,
    /// Those of the caller's node.
    SameNode,
}

impl TrafficDistribution {
    /// Reads the field of a Service; what it does not know says nothing.
    pub fn of_field(text: &str) -> Option<Self> {
        match text {
            "PreferClose" | "PreferSameZone" => Some(TrafficDistribution::SameZone),
            "PreferSameNode" => Some(TrafficDistribution::SameNode),
            _ => None,
        }
    }

    /// Reads an annotation, in which case does not matter.
    pub fn of_annotation(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "" => None,
            "preferclose" | "prefersamezone" => Some(TrafficDistribution::SameZone),
            "prefersamenode" => Some(TrafficDistribution::SameNode),
            _ => Some(TrafficDistribution::Any),
        }
    }
}

/// What the mesh reads of a Namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Namespace {
    /// `metadata.labels`.
    pub labels: Labels,
    /// Annotation `networking.istio.io/traffic-distribution`: for Services that wish nothing.
    pub traffic_distribution: Option<TrafficDistribution>,
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
    /// `conditions.serving`, true when absent.
    pub serving: bool,
    /// `conditions.terminating`; something not ready that does not say it counts as terminating.
    pub terminating: Option<bool>,
    /// `targetRef` when it is a Pod: namespace and name.
    pub pod: Option<(String, String)>,
    /// `nodeName`.
    pub node: Option<String>,
}
