//! The components of an installation, their order, and the names under which status shows them.

/// A part of the installation that is applied and judged as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// CRDs and what everything shares.
    Base,
    /// istiod.
    Pilot,
    /// All ingress gateways.
    IngressGateways,
    /// All egress gateways.
    EgressGateways,
}

impl Component {
    /// Every component, in an order in which each follows what it needs.
    pub const ALL: [Component; 4] = [
        Component::Base,
        Component::Pilot,
        Component::IngressGateways,
        Component::EgressGateways,
    ];

    /// The key in `status.componentStatus` and the value of the component label.
    pub fn as_str(self) -> &'static str {
        match self {
            Component::Base => "Base",
            Component::Pilot => "Pilot",
            Component::IngressGateways => "IngressGateways",
            Component::EgressGateways => "EgressGateways",
        }
    }

    /// What must be available before this component is applied.
    pub fn needs(self) -> &'static [Component] {
        match self {
            Component::Base => &[],
            Component::Pilot => &[Component::Base],
            Component::IngressGateways | Component::EgressGateways => &[Component::Pilot],
        }
    }

    /// The condition type that tells about this component.
    pub fn condition_type(self) -> &'static str {
        match self {
            Component::Base => "BaseReady",
            Component::Pilot => "PilotReady",
            Component::IngressGateways => "IngressGatewaysReady",
            Component::EgressGateways => "EgressGatewaysReady",
        }
    }
}
