//! Scopes of many proxies, of one mesh after another: outbound views are made once for all callers
//! that no rule tells apart, and every part that stayed equal stays the same value.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::snapshot::{Labels, Locality};
use base::hash::Map;

use crate::scope::{Egress, Host, Outbound, OutboundService};
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
    by_host: Map<Host, Vec<Kept>>,
    /// How often the mesh changed.
    turn: u64,
}

/// What was asked for, which is told by its address, and the value that is equal to it.
#[derive(Debug)]
struct Kept {
    service: Arc<Service>,
    rule: Option<Arc<Rule>>,
    the: Arc<OutboundService>,
    /// The turn in which it was asked for last.
    used: u64,
}

impl Canon {
    /// The mesh has changed: what was not asked for since the last change is forgotten.
    fn turn(&mut self) {
        let turn = self.turn;
        self.by_host.retain(|_, of_host| {
            of_host.retain(|kept| kept.used == turn);
            !of_host.is_empty()
        });
        self.turn += 1;
    }

    /// The value of a service with a rule and a mode.
    pub(crate) fn the(
        &mut self,
        service: &Arc<Service>,
        rule: Option<Arc<Rule>>,
        mode: Mode,
    ) -> Arc<OutboundService> {
        let host = service.id.host.as_str();
        if !self.by_host.contains_key(host) {
            self.by_host.insert(Host(service.clone()), Vec::new());
        }
        let of_host = self.by_host.get_mut(host).expect("it was put there");
        let known = of_host.iter_mut().find(|kept| {
            let of_rule = [&kept.rule, &rule].map(|rule| rule.as_ref().map(Arc::as_ptr));
            Arc::ptr_eq(&kept.service, service) && of_rule[0] == of_rule[1] && kept.the.mode == mode
        });
        if let Some(known) = known {
            known.used = self.turn;
            return known.the.clone();
        }
        let made = OutboundService {
            service: service.clone(),
            rule: rule.clone(),
            mode,
        };
        let equal = of_host.iter().find(|kept| *kept.the == made);
        let the = equal.map_or_else(|| Arc::new(made), |kept| kept.the.clone());
        of_host.push(Kept {
            service: service.clone(),
            rule,
            the: the.clone(),
            used: self.turn,
        });
        the
    }
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
