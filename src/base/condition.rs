//! Every condition type and reason that Ferrosail writes, so that one page lists them.

use serde::{Deserialize, Serialize};

/// The value of a condition's `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// `True`
    True,
    /// `False`
    False,
    /// `Unknown`
    Unknown,
}

impl Status {
    /// The string of the Kubernetes API.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::True => "True",
            Status::False => "False",
            Status::Unknown => "Unknown",
        }
    }
}

/// One condition as decided; times and observedGeneration are added when it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// One of the `*_TYPE`-like names of this module or of a component.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether it holds.
    pub status: Status,
    /// CamelCase reason.
    pub reason: String,
    /// For a person.
    pub message: String,
}

impl Condition {
    /// A condition with everything given.
    pub fn new(
        type_: impl Into<String>,
        status: Status,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Condition {
            type_: type_.into(),
            status,
            reason: reason.into(),
            message: message.into(),
        }
    }
}

/// Every enabled component is available at the generation in observedGeneration.
pub const READY: &str = "Ready";
/// kstatus: work is going on.
pub const RECONCILING: &str = "Reconciling";
/// kstatus: it cannot go on without a change.
pub const STALLED: &str = "Stalled";
/// The specification was understood.
pub const SPEC_VALID: &str = "SpecValid";
/// The CA has a usable root.
pub const CA_HEALTHY: &str = "CAHealthy";
/// Every namespace holds the root certificate.
pub const ROOT_CERT_DISTRIBUTED: &str = "RootCertDistributed";
/// Names parts of the spec that are understood but not built yet.
pub const UNSUPPORTED: &str = "Unsupported";
/// On users' objects: proxies accepted what came from this one.
pub const PROGRAMMED: &str = "Programmed";

/// Reasons, as they stand in `reason`.
pub mod reason {
    /// All enabled components are available.
    pub const ALL_COMPONENTS_HEALTHY: &str = "AllComponentsHealthy";
    /// The component is applied and available.
    pub const AVAILABLE: &str = "Available";
    /// Applied, waiting for its workloads.
    pub const WAITING_FOR_WORKLOADS: &str = "WaitingForWorkloads";
    /// Not applied because a component that it needs is not available.
    pub const WAITING_FOR_DEPENDENCY: &str = "WaitingForDependency";
    /// The API server refused or failed to apply an object.
    pub const APPLY_FAILED: &str = "ApplyFailed";
    /// Its workloads did not become available in time.
    pub const NOT_READY_IN_TIME: &str = "NotReadyInTime";
    /// Gateways are enabled without a control plane that could serve them.
    pub const CONTROL_PLANE_DISABLED: &str = "ControlPlaneDisabled";
    /// The specification has errors.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// The specification has no errors.
    pub const VALID: &str = "Valid";
    /// Work goes on.
    pub const PROGRESSING: &str = "Progressing";
    /// Nothing is left to do.
    pub const DONE: &str = "Done";
    /// The object is being deleted.
    pub const DELETING: &str = "Deleting";
    /// The CA has a root that signs and is trusted.
    pub const ROOT_USABLE: &str = "RootUsable";
    /// The CA has none.
    pub const ROOT_UNUSABLE: &str = "RootUnusable";
    /// Every namespace holds the root certificate.
    pub const DISTRIBUTED: &str = "Distributed";
    /// Some namespaces do not hold it yet.
    pub const DISTRIBUTING: &str = "Distributing";
    /// Nothing can be said yet.
    pub const NOT_KNOWN_YET: &str = "NotKnownYet";
    /// An annotation pauses the resource.
    pub const PAUSED: &str = "Paused";
    /// An object belongs to someone else.
    pub const OWNERSHIP_CONFLICT: &str = "OwnershipConflict";
    /// A component failed; it is retried.
    pub const COMPONENT_FAILED: &str = "ComponentFailed";
    /// Nothing is wrong with the object any more.
    pub const PROGRAMMED: &str = "Programmed";
    /// The object, or a part of it, cannot be used.
    pub const INVALID: &str = "Invalid";
    /// Proxies refused what was made from the object.
    pub const REFUSED_BY_PROXIES: &str = "RefusedByProxies";
}
