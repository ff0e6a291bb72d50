//! Switches of the control plane that upstream reads from its environment, under the same names.
//! The environment itself is read at the edges.

const SAMPLING: &str = "PILOT_TRACE_SAMPLING";

/// What the environment switches. The default is that of an empty environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// `ISTIO_DUAL_STACK`: both IP families at once.
    pub dual_stack: bool,
    /// `PILOT_HTTP10`: accept HTTP/1.0.
    pub http10: bool,
    /// `PILOT_ENABLE_PERSISTENT_SESSION_FILTER`: sessions stick to endpoints, by label of a Service.
    pub persistent_sessions: bool,
    /// `PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS`: endpoints that are not ready are sent, unless a rule
    /// sets a minimum of healthy ones.
    pub send_unhealthy: bool,
    /// `PILOT_SEND_UNHEALTHY_ENDPOINTS`: they are sent whatever rules say.
    pub always_send_unhealthy: bool,
    /// `PILOT_ALLOW_SIDECAR_SERVICE_INBOUND_LISTENER_MERGE`: ports of Services are served beside
    /// those of a Sidecar.
    pub merge_sidecar_ingress: bool,
    /// `ENABLE_TLS_ON_SIDECAR_INGRESS`: TLS of a Sidecar's ingress counts.
    pub sidecar_ingress_tls: bool,
    /// `PILOT_SIDECAR_USE_REMOTE_ADDRESS`: sidecars take the address of the connection for the
    /// caller's.
    pub use_remote_address: bool,
    /// `PILOT_ENABLE_MONGO_FILTER`: a look into MongoDB's protocol.
    pub mongo_filter: bool,
    /// `PILOT_ENABLE_REDIS_FILTER`: Redis' protocol is ended here.
    pub redis_filter: bool,
    /// `PILOT_ENABLE_ABSOLUTE_FQDN_VHOST_DOMAIN`: names with the dot of the root are known.
    pub absolute_names: bool,
    /// `ISTIO_ENABLE_IPV4_OUTBOUND_LISTENER_FOR_IPV6_CLUSTERS`: IPv4 is captured too where there
    /// is only IPv6.
    pub ipv4_for_ipv6: bool,
    /// `ENABLE_HCM_INTERNAL_NETWORKS`: addresses of the mesh's networks are internal.
    pub internal_networks: bool,
    /// `PILOT_ENABLE_HEADLESS_FILTER_CHAIN_LISTENER`: one listener for all pods of a headless
    /// Service's TCP port.
    pub headless_chains: bool,
    /// `PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS`: a workload may ask several authorizers.
    pub several_authorizers: bool,
    /// `ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY`: policies select gateways of the Gateway API by
    /// labels too.
    pub selected_gateways: bool,
    /// `PILOT_JWT_ENABLE_REMOTE_JWKS`: who fetches keys of issuers.
    pub key_fetching: KeyFetching,
    /// `PILOT_TRACE_SAMPLING`: share of requests that are traced when nothing is said, percents
    /// in hundredths.
    pub trace_sampling: u32,
    /// The environment itself: headers of extension providers may name their values by variable.
    pub variables: std::collections::BTreeMap<String, String>,
}

/// Who fetches keys of issuers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFetching {
    /// The control plane, which tells proxies the keys.
    ControlPlane,
    /// Proxies, from those hosts that they know; the control plane from all others.
    Hybrid,
    /// Proxies.
    Proxy,
}

impl KeyFetching {
    fn parse(text: &str) -> Self {
        match text {
            "hybrid" | "true" => KeyFetching::Hybrid,
            "envoy" => KeyFetching::Proxy,
            _ => KeyFetching::ControlPlane,
        }
    }
}

impl Default for Features {
    fn default() -> Self {
        Features {
            dual_stack: false,
            http10: false,
            persistent_sessions: false,
            send_unhealthy: true,
            always_send_unhealthy: false,
            merge_sidecar_ingress: false,
            sidecar_ingress_tls: false,
            use_remote_address: false,
            mongo_filter: true,
            redis_filter: false,
            absolute_names: true,
            ipv4_for_ipv6: false,
            internal_networks: false,
            headless_chains: false,
            several_authorizers: false,
            selected_gateways: true,
            key_fetching: KeyFetching::ControlPlane,
            trace_sampling: 100,
            variables: Default::default(),
        }
    }
}

impl Features {
    /// Reads an environment; a value that is none of a switch's leaves its default.
    pub fn read<'a>(environment: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut features = Features::default();
        for (name, value) in environment {
            let variables = &mut features.variables;
            variables.insert(name.to_owned(), value.to_owned());
            if name == SAMPLING {
                if let Ok(percent) = value.parse::<f64>()
                    && (0.0..=100.0).contains(&percent)
                {
                    features.trace_sampling = (percent * 100.0).round() as u32;
                }
                continue;
            }
            if name == "PILOT_JWT_ENABLE_REMOTE_JWKS" {
                features.key_fetching = KeyFetching::parse(value);
                continue;
            }
            let Some(on) = switch(value) else { continue };
            if let Some(switch) = features.named(name) {
                *switch = on;
            }
        }
        features
    }

    /// Whether a variable of this name is read.
    pub fn reads(name: &str) -> bool {
        name == SAMPLING || Features::default().named(name).is_some()
    }

    fn named(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "ISTIO_DUAL_STACK" => &mut self.dual_stack,
            "PILOT_HTTP10" => &mut self.http10,
            "PILOT_ENABLE_PERSISTENT_SESSION_FILTER" => &mut self.persistent_sessions,
            "PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS" => &mut self.send_unhealthy,
            "PILOT_SEND_UNHEALTHY_ENDPOINTS" => &mut self.always_send_unhealthy,
            "PILOT_ALLOW_SIDECAR_SERVICE_INBOUND_LISTENER_MERGE" => &mut self.merge_sidecar_ingress,
            "ENABLE_TLS_ON_SIDECAR_INGRESS" => &mut self.sidecar_ingress_tls,
            "PILOT_SIDECAR_USE_REMOTE_ADDRESS" => &mut self.use_remote_address,
            "PILOT_ENABLE_MONGO_FILTER" => &mut self.mongo_filter,
            "PILOT_ENABLE_REDIS_FILTER" => &mut self.redis_filter,
            "PILOT_ENABLE_ABSOLUTE_FQDN_VHOST_DOMAIN" => &mut self.absolute_names,
            "ISTIO_ENABLE_IPV4_OUTBOUND_LISTENER_FOR_IPV6_CLUSTERS" => &mut self.ipv4_for_ipv6,
            "ENABLE_HCM_INTERNAL_NETWORKS" => &mut self.internal_networks,
            "PILOT_ENABLE_HEADLESS_FILTER_CHAIN_LISTENER" => &mut self.headless_chains,
            "PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS" => &mut self.several_authorizers,
            "ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY" => &mut self.selected_gateways,
            _ => return None,
        })
    }
}

/// The spellings of a switch that Go's tools take.
pub(crate) fn switch(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Features;

    #[test]
    fn what_is_no_switch_changes_nothing() {
        let mut read = Features::read([("ISTIO_DUAL_STACK", "maybe"), ("PATH", "true")]);
        assert_eq!(read.variables["PATH"], "true");
        read.variables.clear();
        assert_eq!(read, Features::default());
    }

    #[test]
    fn switches_are_read_by_upstreams_names() {
        let read = Features::read([
            ("ISTIO_DUAL_STACK", "true"),
            ("PILOT_TRACE_SAMPLING", "0.5"),
        ]);
        assert!(read.dual_stack);
        assert_eq!(read.trace_sampling, 50);
    }
}
