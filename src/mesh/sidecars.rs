//! What a workload may call: the Sidecar that applies to it, its egress listeners, and the services
//! and VirtualServices that each of them takes in. Gateways call everything that is visible.

mod hosts;
mod union;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::networking::sidecar::{CaptureMode, EgressListener, OutboundMode, Sidecar};
use api::networking::virtual_service::{Destination, HttpRoute};
use api::snapshot::{Object, selects};
use base::hash::Map;

use crate::names::resolve;
use crate::scope::{Egress, Outbound, OutboundService};
use crate::scopes::Canon;
use crate::{Mesh, Protocol, Proxy, Registry, Resolution, Role, Routing, Service};
use hosts::Hosts;
use union::Union;

/// The Sidecar of a workload: one that selects it, else that of its namespace, else of the mesh.
pub(crate) fn of<'a>(mesh: &'a Mesh, proxy: &Proxy) -> Option<&'a Arc<Object<Sidecar>>> {
    if proxy.role == Role::Router {
        return None;
    }
    let root = &mesh.config.root_namespace;
    oldest(mesh, proxy, &proxy.namespace, true)
        .or_else(|| oldest(mesh, proxy, &proxy.namespace, false))
        .or_else(|| oldest(mesh, proxy, root, false))
}

/// The oldest Sidecar of a namespace among those that select the workload, or that select nothing.
fn oldest<'a>(
    mesh: &'a Mesh,
    proxy: &Proxy,
    namespace: &str,
    selecting: bool,
) -> Option<&'a Arc<Object<Sidecar>>> {
    let own = mesh.snapshot.sidecars.in_namespace(namespace);
    own.filter(|sidecar| match &sidecar.spec.workload_selector {
        Some(selector) => selecting && selects(&selector.labels, &proxy.labels),
        None => !selecting,
    })
    .min_by_key(|sidecar| sidecar.meta.age())
}

/// Services and VirtualServices as one egress listener takes them in.
struct Taken {
    listener: EgressListener,
    services: Vec<Arc<Service>>,
    routings: Vec<Arc<Routing>>,
}

/// Everything that a proxy may call, of services that are known as far as they are.
pub(crate) fn outbound(mesh: &Mesh, proxy: &Proxy, canon: &mut Canon) -> Outbound {
    let own = of(mesh, proxy);
    let sidecar = own.map(|sidecar| &sidecar.spec);
    let namespace = proxy.namespace.as_str();
    let everything = [EgressListener {
        hosts: vec!["*/*".to_owned()],
        ..Default::default()
    }];
    let listeners: &[EgressListener] = match sidecar {
        Some(sidecar) if !sidecar.egress.is_empty() => &sidecar.egress,
        _ => &everything,
    };
    let visible = services(mesh, namespace);
    let routings = routings(mesh, namespace);
    let taken: Vec<Taken> = listeners
        .iter()
        .map(|listener| take(listener, namespace, &visible, &routings))
        .collect();
    let first = taken.first().map_or(0, |taken| taken.services.len());
    let mut union = Union::with_room(first);
    // Gateways call everything visible anyway.
    let leads = proxy.role == Role::Sidecar && !routings.is_empty();
    let named = leads.then(|| by_host(mesh));
    for taken in &taken {
        taken.services.iter().for_each(|service| union.add(service));
        if let Some(named) = &named {
            led_to(named, namespace, taken, &mut union);
        }
    }
    let own_policy = sidecar.and_then(|sidecar| sidecar.outbound_traffic_policy.as_ref());
    let egress_proxy = own_policy.and_then(|policy| policy.egress_proxy.as_ref());
    let policy = match own_policy {
        Some(policy) => policy.mode.unwrap_or(OutboundMode::RegistryOnly),
        None => mesh.config.outbound_traffic_policy.mode,
    };
    Outbound {
        sidecar: own.map(|sidecar| sidecar.meta.reference.clone()),
        ..assemble(mesh, proxy, canon, union, taken, policy, egress_proxy)
    }
}

/// Services that a namespace sees: those exported to it by name first, the oldest first in each.
fn services<'a>(mesh: &'a Mesh, namespace: &str) -> Vec<&'a Arc<Service>> {
    let seen = |public: bool| {
        mesh.services.iter().filter(move |service| {
            (service.visibility == crate::Visibility::Public) == public
                && service.visibility.includes(namespace)
        })
    };
    seen(false).chain(seen(true)).collect()
}

/// VirtualServices for sidecars that a namespace sees: its private ones, then those exported to it
/// by name, then public ones.
fn routings<'a>(mesh: &'a Mesh, namespace: &str) -> Vec<&'a Arc<Routing>> {
    let rank = |routing: &Routing| match &routing.visibility {
        crate::Visibility::Only(_) if routing.namespace == namespace => 0,
        crate::Visibility::Only(_) => 1,
        crate::Visibility::Public => 2,
    };
    let visible = mesh.routings.iter().filter(|routing| {
        routing.is_for(crate::MESH_GATEWAY) && routing.visibility.includes(namespace)
    });
    let mut found: Vec<&Arc<Routing>> = visible.collect();
    found.sort_by_key(|routing| rank(routing));
    found
}

fn take(
    listener: &EgressListener,
    namespace: &str,
    visible: &[&Arc<Service>],
    routings: &[&Arc<Routing>],
) -> Taken {
    let hosts = Hosts::read(&listener.hosts, namespace);
    let taken: Vec<Arc<Service>> = visible
        .iter()
        .filter(|service| hosts.takes(service))
        .filter_map(|service| narrowed(service, listener))
        .map(|service| with_aliases(service, &hosts))
        .collect();
    // One namespace speaks for a host: the caller's own, else that of a Kubernetes Service, else
    // that of the oldest.
    let mut speaks: Map<&str, (&str, Registry)> = Map::default();
    speaks.reserve(taken.len());
    for service in &taken {
        let own = (service.id.namespace.as_str(), service.registry);
        let known = speaks.entry(&service.id.host).or_insert(own);
        let (before, registry) = *known;
        let better = own.0 == namespace
            || registry == Registry::External
                && own.1 == Registry::Kubernetes
                && before != namespace;
        if better {
            *known = own;
        }
    }
    let spoken =
        |service: &&Arc<Service>| speaks[service.id.host.as_str()].0 == service.id.namespace;
    let services = match speaks.len() == taken.len() {
        true => taken,
        false => taken.iter().filter(spoken).cloned().collect(),
    };
    Taken {
        listener: listener.clone(),
        services,
        routings: routings
            .iter()
            .filter(|routing| hosts.takes_routing(routing))
            .map(|routing| (*routing).clone())
            .collect(),
    }
}

/// A service with only the port that a listener is for; a generic HTTP proxy is for all.
fn narrowed(service: &Arc<Service>, listener: &EgressListener) -> Option<Arc<Service>> {
    let Some(port) = listener
        .port
        .as_ref()
        .filter(|port| port.number != 0 && Protocol::parse(&port.protocol) != Protocol::HttpProxy)
    else {
        return Some(service.clone());
    };
    let fits = |number: u16| u32::from(number) == port.number;
    with_ports(service, fits)
}

/// A service with those of its ports that fit; nothing when none does.
fn with_ports(service: &Arc<Service>, fits: impl Fn(u16) -> bool) -> Option<Arc<Service>> {
    let fitting = service.ports.iter().filter(|port| fits(port.number));
    match fitting.clone().count() {
        0 => None,
        all if all == service.ports.len() => Some(service.clone()),
        _ => {
            let mut own = service.as_ref().clone();
            own.ports = fitting.cloned().collect();
            Some(Arc::new(own))
        }
    }
}

/// A service with the aliases that the listener's hosts hold.
fn with_aliases(service: Arc<Service>, hosts: &Hosts) -> Arc<Service> {
    let held = |alias: &String| hosts.holds(&service.id.namespace, alias);
    if service.aliases.iter().all(held) {
        return service;
    }
    let mut own = service.as_ref().clone();
    own.aliases.retain(held);
    Arc::new(own)
}

/// Adds the services that VirtualServices of a listener lead to, those asked for by name first.
fn led_to(named: &Named<'_>, namespace: &str, taken: &Taken, union: &mut Union) {
    for routing in &taken.routings {
        for (host, ports) in destinations(routing, namespace) {
            let found = called(named, namespace, &host);
            let narrow = |service: &Arc<Service>| match &taken.listener.port {
                Some(_) => narrowed(service, &taken.listener),
                None if ports.contains(&0) => Some(service.clone()),
                None => with_ports(service, |number| ports.contains(&number.into())),
            };
            if let Some(service) = found.and_then(narrow) {
                union.add(&service);
            }
        }
    }
}

/// All services by host, the oldest first.
type Named<'a> = Map<&'a str, Vec<&'a Arc<Service>>>;

fn by_host(mesh: &Mesh) -> Named<'_> {
    let mut named = Named::default();
    for service in &mesh.services {
        let of_host = named.entry(service.id.host.as_str()).or_default();
        of_host.push(service);
    }
    named
}

/// The service that a VirtualService means by a host: of the caller's namespace, else a Kubernetes
/// Service, else the oldest that is visible.
fn called<'a>(named: &Named<'a>, namespace: &str, host: &str) -> Option<&'a Arc<Service>> {
    let of_host = || named.get(host).into_iter().flatten().copied();
    let kubernetes_first = |service: &&Arc<Service>| service.registry == Registry::External;
    of_host()
        .filter(|service| service.id.namespace == namespace)
        .min_by_key(kubernetes_first)
        .or_else(|| {
            of_host()
                .filter(|service| service.visibility.includes(namespace))
                .min_by_key(kubernetes_first)
        })
}

/// Hosts and ports that a VirtualService leads callers of a namespace to; port 0 stands for all.
fn destinations(routing: &Routing, namespace: &str) -> BTreeMap<String, BTreeSet<u32>> {
    let mut found: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    let mut add = |to: &Destination| {
        let ports = found.entry(to.host.clone()).or_default();
        ports.insert(to.port.as_ref().map_or(0, |port| port.number));
    };
    let for_us = |route: &&HttpRoute| {
        let mut named = route.r#match.iter().map(|m| m.source_namespace.as_str());
        let limited = named.clone().any(|name| !name.is_empty());
        !limited || named.any(|name| name == namespace)
    };
    for route in routing.spec.http.iter().filter(for_us) {
        route.route.iter().for_each(|to| add(&to.destination));
        route.mirror.iter().for_each(&mut add);
        route.mirrors.iter().for_each(|to| add(&to.destination));
    }
    let tls = routing.spec.tls.iter().flat_map(|route| route.route.iter());
    let tcp = routing.spec.tcp.iter().flat_map(|route| route.route.iter());
    tls.chain(tcp).for_each(|to| add(&to.destination));
    found
}

fn assemble(
    mesh: &Mesh,
    proxy: &Proxy,
    canon: &mut Canon,
    union: Union,
    taken: Vec<Taken>,
    policy: OutboundMode,
    egress_proxy: Option<&Destination>,
) -> Outbound {
    let root = &mesh.config.root_namespace;
    let mut of = |service: &Arc<Service>, ruled: &Service| {
        let rule = mesh
            .rules
            .of_caller(ruled, &proxy.namespace, &proxy.labels, root);
        let mode = mesh.modes.of_namespace(&service.id.namespace);
        canon.the(service, rule, mode)
    };
    let services: Vec<Arc<OutboundService>> = union
        .services
        .iter()
        .map(|service| of(service, service))
        .collect();
    let views = taken.into_iter().map(|taken| {
        let seen = taken.services.iter().map(|service| {
            let place = union.by_host.get(service.id.host.as_str());
            let whole = place.map(|place| &services[*place]);
            match whole {
                Some(whole) if Arc::ptr_eq(&whole.service, service) => whole.clone(),
                _ => of(service, union.of(&service.id.host).unwrap_or(service)),
            }
        });
        let binds_to_port = taken.listener.capture_mode == CaptureMode::None
            || taken.listener.bind.starts_with("unix://");
        Arc::new(Egress {
            services: seen.collect(),
            routings: taken.routings,
            binds_to_port,
            port: taken.listener.port,
            bind: taken.listener.bind,
        })
    });
    let egress_proxy = egress_proxy.map(|to| Destination {
        host: resolve(&to.host, &proxy.namespace, &mesh.domain),
        ..to.clone()
    });
    Outbound {
        views: views.collect(),
        services,
        by_host: union.by_host.into(),
        policy,
        egress_proxy,
        sidecar: None,
    }
}

impl Service {
    /// Whether it only stands for another one.
    pub fn is_alias(&self) -> bool {
        self.resolution == Resolution::Alias
    }
}
