//! Scopes of many proxies, of one mesh after another: outbound views are made once for all callers
//! that no rule tells apart, and every part that stayed equal stays the same value.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::snapshot::{Labels, Locality};
use base::hash::Map;

use crate::scope::{Egress, Outbound, OutboundService};
use crate::{Flavour, Mesh, Mode, Proxy, Role, Rule, Scope, Service, VirtualHosts, sidecars};

/// Keeps the views that were made last, as long as they hold.
#[derive(Debug, Default)]
pub struct Scopes {
    mesh: Option<Mesh>,
    /// Keys of labels by which anything selects callers.
    telling: BTreeSet<String>,
    views: Map<Caller, Arc<Outbound>>,
    /// Views of the mesh before, from which equal parts are taken.
    before: Map<Caller, Arc<Outbound>>,
    services: Canon,
}

/// All that an outbound view depends on beside the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Caller {
    role: Role,
    namespace: String,
    labels: Labels,
}

impl Scopes {
    /// What a proxy may see. Equal to [`Mesh::scope`], and the same values for proxies for which
    /// it is equal.
    pub fn scope(&mut self, mesh: &Mesh, proxy: &Proxy) -> Scope {
        let outbound = self.outbound(mesh, proxy);
        Scope::new(mesh, proxy, outbound)
    }

    fn outbound(&mut self, mesh: &Mesh, proxy: &Proxy) -> Arc<Outbound> {
        if self.mesh.as_ref().is_none_or(|known| !known.is(mesh)) {
            self.follow(mesh);
        }
        let caller = Caller::of(proxy, &self.telling);
        if let Some(known) = self.views.get(&caller) {
            return known.clone();
        }
        let mut made = sidecars::outbound(mesh, &caller.stand_in(), &mut self.services);
        let before = self.before.remove(&caller);
        if let Some(before) = &before {
            for (view, known) in made.views.iter_mut().zip(&before.views) {
                if is_same_egress(view, known) {
                    *view = known.clone();
                }
            }
        }
        let mut known = before.iter().chain(self.views.values());
        let known = known.find(|known| is_same(known, &made)).cloned();
        let made = known.unwrap_or_else(|| Arc::new(made));
        self.views.insert(caller, made.clone());
        made
    }

    fn follow(&mut self, mesh: &Mesh) {
        self.mesh = Some(mesh.clone());
        self.telling = telling(mesh);
        self.before = std::mem::take(&mut self.views);
        self.services.turn();
    }
}

/// Label keys by which Sidecars and DestinationRules tell callers apart.
fn telling(mesh: &Mesh) -> BTreeSet<String> {
    let sidecars = mesh.snapshot.sidecars.values();
    let sidecars = sidecars.filter_map(|sidecar| sidecar.spec.workload_selector.as_ref());
    let rules = mesh.snapshot.destination_rules.values();
    let rules = rules.filter_map(|rule| rule.spec.workload_selector.as_ref());
    let sidecars = sidecars.flat_map(|selector| selector.labels.keys());
    let rules = rules.flat_map(|selector| selector.labels.keys());
    sidecars.chain(rules).cloned().collect()
}

impl Caller {
    fn of(proxy: &Proxy, telling: &BTreeSet<String>) -> Self {
        let labels = proxy.labels.iter();
        let labels = labels.filter(|(key, _)| telling.contains(*key));
        Caller {
            role: proxy.role,
            namespace: proxy.namespace.clone(),
            labels: labels.map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }

    /// A proxy of which nothing else is known: what is made for it depends on nothing else.
    fn stand_in(&self) -> Proxy {
        Proxy {
            id: String::new(),
            role: self.role,
            namespace: self.namespace.clone(),
            addresses: Vec::new(),
            labels: self.labels.clone(),
            dns_domain: String::new(),
            locality: Locality::default(),
            cluster: String::new(),
            mesh_id: String::new(),
            network: String::new(),
            node: String::new(),
            flavour: Flavour::Stock,
            ports: Vec::new(),
            unprivileged: false,
            workload: String::new(),
            node_cluster: String::new(),
            virtual_hosts: VirtualHosts::Inline,
            settings: Arc::default(),
        }
    }
}

/// One value for all services with equal settings, through the changes of a mesh.
#[derive(Debug, Default)]
pub(crate) struct Canon {
    known: Map<Id, Kept>,
    /// How often the mesh changed.
    turn: u64,
    /// Those known by host, once a look-up by identity failed since the last change.
    by_host: Option<Map<String, Vec<Arc<OutboundService>>>>,
}

/// Addresses of a service and its rule, and the mode. The values that they are of are kept beside
/// them, so that no address is used again.
type Id = (usize, usize, Mode);

#[derive(Debug)]
struct Kept {
    _service: Arc<Service>,
    _rule: Option<Arc<Rule>>,
    the: Arc<OutboundService>,
    /// The turn in which it was asked for last.
    used: u64,
}

impl Canon {
    /// The mesh has changed: what was not asked for since the last change is forgotten.
    fn turn(&mut self) {
        self.known.retain(|_, kept| kept.used == self.turn);
        self.turn += 1;
        self.by_host = None;
    }

    /// The value of a service with a rule and a mode.
    pub(crate) fn the(
        &mut self,
        service: &Arc<Service>,
        rule: Option<Arc<Rule>>,
        mode: Mode,
    ) -> Arc<OutboundService> {
        let of_rule = rule.as_ref().map_or(0, |rule| Arc::as_ptr(rule).addr());
        let id = (Arc::as_ptr(service).addr(), of_rule, mode);
        if let Some(known) = self.known.get_mut(&id) {
            known.used = self.turn;
            return known.the.clone();
        }
        let made = OutboundService {
            service: service.clone(),
            rule: rule.clone(),
            mode,
        };
        let known = &self.known;
        let by_host = self.by_host.get_or_insert_with(|| by_host(known));
        let of_host = by_host.entry(service.id.host.clone()).or_default();
        let equal = of_host.iter().find(|known| ***known == made).cloned();
        let the = equal.unwrap_or_else(|| {
            let the = Arc::new(made);
            of_host.push(the.clone());
            the
        });
        let kept = Kept {
            _service: service.clone(),
            _rule: rule,
            the: the.clone(),
            used: self.turn,
        };
        self.known.insert(id, kept);
        the
    }
}

fn by_host(known: &Map<Id, Kept>) -> Map<String, Vec<Arc<OutboundService>>> {
    let mut by_host: Map<String, Vec<Arc<OutboundService>>> = Map::default();
    for kept in known.values() {
        let of_host = by_host.entry(kept.the.service.id.host.clone()).or_default();
        of_host.push(kept.the.clone());
    }
    by_host
}

/// Whether both are made of the same values; `by_host` follows from the services.
pub(crate) fn is_same(a: &Outbound, b: &Outbound) -> bool {
    all_same(&a.services, &b.services)
        && a.views.len() == b.views.len()
        && a.views
            .iter()
            .zip(&b.views)
            .all(|(a, b)| Arc::ptr_eq(a, b) || is_same_egress(a, b))
        && a.policy == b.policy
        && a.egress_proxy == b.egress_proxy
        && a.sidecar == b.sidecar
}

fn is_same_egress(a: &Egress, b: &Egress) -> bool {
    let Egress {
        port,
        bind,
        binds_to_port,
        services,
        routings,
    } = a;
    *port == b.port
        && *bind == b.bind
        && *binds_to_port == b.binds_to_port
        && all_same(services, &b.services)
        && all_same(routings, &b.routings)
}

fn all_same<T>(a: &[Arc<T>], b: &[Arc<T>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}
