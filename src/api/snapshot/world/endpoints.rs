//! The endpoints of one host: what its Service's slices, its ServiceEntry and the workloads that it
//! selects say, with each pod's and node's own facts added.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::World;
use crate::networking::service_entry::{Resolution, ServiceEntry};
use crate::networking::workload_entry::WorkloadEntry;
use crate::snapshot::{
    Address, Endpoint, Health, Key, Labels, Locality, Object, Pod, Service, SliceEndpoint,
    TargetPort, selects,
};

/// Label that says that a workload accepts the mesh's mTLS.
const TLS_MODE: &str = "security.istio.io/tlsMode";
/// Label of workloads: `region.zone.subzone`.
const LOCALITY: &str = "istio-locality";
/// Labels of Services whose sessions stick to endpoints, by cookie or by header.
const SESSIONS: [&str; 2] = [
    "istio.io/persistent-session",
    "istio.io/persistent-session-header",
];

impl World {
    pub(super) fn of_service(&self, service: &Service, into: &mut Vec<Endpoint>) {
        let namespace = service.meta.namespace();
        let mut seen = BTreeSet::new();
        for slice in self.slices.of_service(&service.meta.key()) {
            let ports: Arc<BTreeMap<String, u16>> = Arc::new(slice.ports.iter().cloned().collect());
            for endpoint in &slice.endpoints {
                let Some(health) = health(service, endpoint) else {
                    continue;
                };
                let pod = endpoint.pod.as_ref();
                let pod = pod.map(|(namespace, name)| self.pods.get(&Key::new(namespace, name)));
                // An endpoint whose pod is not known yet has no identity; it joins with its pod.
                let Some(pod) = pod.map_or(Some(None), |found| found.map(Some)) else {
                    continue;
                };
                for address in &endpoint.addresses {
                    let both = pod.filter(|_| self.has_both(service)).map(more_addresses);
                    let both = both.filter(|more| !more.is_empty());
                    // The slice of the other family lists the same pods again.
                    if both.is_some() && matches!(address, Address::Ip(ip) if ip.is_ipv6()) {
                        continue;
                    }
                    if seen.insert((address.clone(), ports.clone())) {
                        let by_address = || self.pod_at(namespace, address);
                        let mut made = match pod.or_else(by_address) {
                            Some(pod) => self.of_pod(pod, address.clone(), ports.clone()),
                            None => self.anonymous("", address.clone(), ports.clone(), None),
                        };
                        made.health = health;
                        made.in_cluster = true;
                        made.more = both.unwrap_or_default();
                        into.push(made);
                    }
                }
            }
        }
        let Some(selector) = &service.selector else {
            return;
        };
        if service.headless || service.external_name.is_some() {
            return;
        }
        for entry in self.snapshot.workload_entries.in_namespace(namespace) {
            let address = Address::parse(&entry.spec.address);
            if matches!(address, Address::Ip(_))
                && !entry.spec.unhealthy
                && selects(selector, &entry.spec.labels)
            {
                let named = |name: &str| entry.spec.ports.get(name).copied();
                let ports = service.ports.iter().map(|port| {
                    let target = match &port.target {
                        TargetPort::Number(number) => {
                            named(&port.name).or(Some(u32::from(*number)))
                        }
                        TargetPort::Name(name) => named(name),
                    };
                    (port.name.clone(), target)
                });
                let ports = ports
                    .filter_map(|(name, port)| Some((name, u16::try_from(port?).ok()?)))
                    .collect();
                into.push(of_workload_entry(
                    namespace,
                    entry.meta.name(),
                    &entry.spec,
                    Arc::new(ports),
                ));
            }
        }
    }

    /// The endpoints of an entry: once for each of its addresses, and known by the numbers of its
    /// ports, as names of ports are its own.
    pub(super) fn of_entry(
        &self,
        entry: &Object<ServiceEntry>,
        host: &str,
        into: &mut Vec<Endpoint>,
    ) {
        let spec = &entry.spec;
        let mut found = Vec::new();
        self.of_entry_once(entry, host, &mut found);
        for endpoint in &mut found {
            let ports = spec.ports.iter().filter_map(|port| {
                let target = endpoint.ports.get(&port.name)?;
                Some((u16::try_from(port.number).ok()?, *target))
            });
            endpoint.by_number = Some(Arc::new(ports.collect()));
        }
        let addresses = spec.addresses.iter();
        let usable = addresses.filter(|text| is_address(text)).count();
        let times = match spec.addresses.is_empty() || spec.resolution == Resolution::DnsRoundRobin
        {
            true => 1,
            false => usable,
        };
        into.extend(std::iter::repeat_n(found, times).flatten());
    }

    fn of_entry_once(&self, entry: &Object<ServiceEntry>, host: &str, into: &mut Vec<Endpoint>) {
        let spec = &entry.spec;
        let namespace = entry.meta.namespace();
        let ports_of = |overrides: &BTreeMap<String, u32>| {
            let ports = spec.ports.iter().filter_map(|port| {
                let target = match port.target_port {
                    0 => port.number,
                    target => target,
                };
                let number = overrides.get(&port.name).copied().unwrap_or(target);
                Some((port.name.clone(), u16::try_from(number).ok()?))
            });
            Arc::new(ports.collect::<BTreeMap<String, u16>>())
        };
        if let Some(selector) = &spec.workload_selector {
            for pod in self.pods.in_namespace(namespace) {
                let Some(address) = pod.addresses.first() else {
                    continue;
                };
                if !pod.ready || !selects(&selector.labels, &pod.labels) {
                    continue;
                }
                let own = pod.ports.iter().rev();
                let own = own.map(|(name, port)| (name.clone(), u32::from(*port)));
                let ports = ports_of(&own.collect());
                let dual_stack = self.snapshot.features.dual_stack;
                into.push(Endpoint {
                    health: Health::Healthy,
                    in_cluster: true,
                    more: if dual_stack {
                        more_addresses(pod)
                    } else {
                        Vec::new()
                    },
                    ..self.of_pod(pod, Address::parse(address), ports)
                });
            }
            let by_name = matches!(
                spec.resolution,
                Resolution::Dns | Resolution::DnsRoundRobin | Resolution::DynamicDns
            );
            for workload in self.snapshot.workload_entries.in_namespace(namespace) {
                // A name or a socket can only be told to proxies that resolve it themselves.
                let usable =
                    by_name || matches!(Address::parse(&workload.spec.address), Address::Ip(_));
                if usable
                    && !workload.spec.unhealthy
                    && selects(&selector.labels, &workload.spec.labels)
                {
                    let ports = ports_of(&workload.spec.ports);
                    let name = workload.meta.name();
                    into.push(of_workload_entry(namespace, name, &workload.spec, ports));
                }
            }
            return;
        }
        match (spec.resolution, spec.endpoints.is_empty()) {
            (Resolution::None | Resolution::DynamicDns, _) => {}
            (Resolution::Dns | Resolution::DnsRoundRobin, true) => {
                if !host.starts_with('*') {
                    let ports = ports_of(&BTreeMap::new());
                    let address = Address::Name(host.to_owned());
                    into.push(Endpoint {
                        workload: entry.meta.name().to_owned(),
                        ..self.anonymous(namespace, address, ports, None)
                    });
                }
            }
            _ => {
                for (index, endpoint) in spec.endpoints.iter().enumerate() {
                    let ports = ports_of(&endpoint.ports);
                    let name = format!("{}-{index}", entry.meta.name());
                    into.push(of_workload_entry(namespace, &name, endpoint, ports));
                }
            }
        }
    }

    fn of_pod(&self, pod: &Pod, address: Address, ports: Arc<BTreeMap<String, u16>>) -> Endpoint {
        Endpoint {
            labels: Arc::new(pod.labels.clone()),
            workload: pod.workload.clone(),
            service_account: pod.service_account.clone(),
            mutual_tls: pod.labels.get(TLS_MODE).is_some_and(|mode| mode == "istio"),
            locality: match pod.labels.get(LOCALITY) {
                Some(locality) => Locality::parse(&locality.replace('.', "/")),
                None => self.locality(&pod.node),
            },
            hostname: pod.hostname.clone(),
            network: pod
                .labels
                .get("topology.istio.io/network")
                .cloned()
                .unwrap_or_default(),
            ..self.anonymous(&pod.namespace, address, ports, Some(&pod.node))
        }
    }

    /// Whether both IP families of a Service count.
    fn has_both(&self, service: &Service) -> bool {
        self.snapshot.features.dual_stack && service.addresses.len() > 1
    }

    /// The pod that an address without a pod's name belongs to.
    fn pod_at(&self, namespace: &str, address: &Address) -> Option<&Arc<Pod>> {
        let text = address.to_string();
        let mut pods = self.pods.in_namespace(namespace);
        pods.find(|pod| pod.addresses.contains(&text))
    }

    fn anonymous(
        &self,
        namespace: &str,
        address: Address,
        ports: Arc<BTreeMap<String, u16>>,
        node: Option<&str>,
    ) -> Endpoint {
        let node = node.unwrap_or_default();
        Endpoint {
            address,
            ports,
            labels: Arc::new(Labels::new()),
            namespace: namespace.to_owned(),
            workload: String::new(),
            service_account: String::new(),
            more: Vec::new(),
            hostname: None,
            node: node.to_owned(),
            locality: self.locality(node),
            network: String::new(),
            by_number: None,
            in_cluster: false,
            mutual_tls: false,
            weight: 0,
            health: Health::Unknown,
        }
    }

    fn locality(&self, node: &str) -> Locality {
        let node = self.nodes.get(&Key::new("", node));
        node.map(|node| node.locality.clone()).unwrap_or_default()
    }
}

/// Whether a text is an IP address or a range of them.
fn is_address(text: &str) -> bool {
    let (address, length) = text.split_once('/').unwrap_or((text, "0"));
    let bits = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= bits)
}

/// Whether an endpoint of a slice should get traffic; `None` when it is gone.
fn health(service: &Service, endpoint: &SliceEndpoint) -> Option<Health> {
    if endpoint.ready {
        return Some(Health::Healthy);
    }
    let labels = &service.meta.labels;
    let sticks = SESSIONS.iter().any(|name| {
        let value = labels.get(*name);
        value.is_some_and(|value| !value.is_empty())
    });
    let terminating = endpoint.terminating.unwrap_or(true);
    match (terminating, sticks && endpoint.serving) {
        (true, true) => Some(Health::Draining),
        (true, false) => None,
        (false, _) => Some(Health::Unhealthy),
    }
}

/// The addresses of a pod beside its first.
fn more_addresses(pod: &Arc<Pod>) -> Vec<std::net::IpAddr> {
    let more = pod.addresses.iter().skip(1);
    more.filter_map(|text| text.parse().ok()).collect()
}

/// Where a workload outside of Kubernetes stands.
fn locality(entry: &WorkloadEntry) -> Locality {
    match (entry.locality.as_str(), entry.labels.get(LOCALITY)) {
        ("", Some(label)) => Locality::parse(&label.replace('.', "/")),
        (own, _) => Locality::parse(own),
    }
}

fn of_workload_entry(
    namespace: &str,
    name: &str,
    entry: &WorkloadEntry,
    ports: Arc<BTreeMap<String, u16>>,
) -> Endpoint {
    // Without the label, a service account says that a proxy is there.
    let mutual_tls = match entry.labels.get(TLS_MODE) {
        Some(mode) => mode == "istio",
        None => !entry.service_account.is_empty(),
    };
    Endpoint {
        address: Address::parse(&entry.address),
        ports,
        labels: Arc::new(entry.labels.clone()),
        namespace: namespace.to_owned(),
        workload: name.to_owned(),
        service_account: entry.service_account.clone(),
        more: Vec::new(),
        hostname: None,
        node: String::new(),
        locality: locality(entry),
        network: entry.network.clone(),
        by_number: None,
        in_cluster: false,
        mutual_tls,
        weight: entry.weight,
        health: Health::Unknown,
    }
}
