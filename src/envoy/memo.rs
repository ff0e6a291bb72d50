//! Results of earlier derivations, by exactly the arguments that they were made from.
//!
//! Arguments that are shared values count by their address, and the memo holds them, so that no
//! address is used again. What nobody holds beside the memo goes with the next [`Memo::sweep`].

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use api::networking::virtual_service::VirtualService;
use base::ObjectRef;
use base::hash::Map;
use mesh::{Outbound, OutboundService, Routing, Scope, Service};

use crate::derive::{Clusters, Set};
use crate::resource::{Resource, Table, Views};
use crate::route::domains::{Caller, Domains};
use crate::route::fragment::{Names, Rest};

/// Results of earlier derivations. Empty or warm, [`derive`](crate::derive()) gives the same bytes.
#[derive(Debug, Default)]
pub struct Memo {
    scopes: RefCell<Map<u64, Vec<Arc<Scope>>>>,
    outbounds: RefCell<Vec<Arc<Outbound>>>,
    callers: RefCell<Vec<Arc<Caller>>>,
    opaque: Results<Same<Routing>, Routing>,
    /// Clusters of one service.
    pub(crate) clusters: Results<(Same<Scope>, Same<OutboundService>), Clusters>,
    /// Clusters of all services, as seen from far and, if it matters, from where the proxy stands.
    pub(crate) cluster_sets: Results<(Same<Scope>, Option<Same<Scope>>), Set>,
    /// Forms in which callers may name a service.
    pub(crate) domains: Results<Named, Domains>,
    /// Virtual hosts of services without a VirtualService, but for names and domains.
    pub(crate) defaults: Results<(Same<Scope>, Same<OutboundService>, u16), Rest>,
    /// Virtual hosts, by their route configuration, name and domains.
    pub(crate) hosts: Results<VirtualHost, Resource>,
    /// Everything else, by its type and the part of the scope that it is made from.
    pub(crate) sets: Results<(&'static str, Same<Scope>), Set>,
    /// Routes of sidecars, by what they are made from and which are asked for.
    pub(crate) route_sets: Results<(Same<Scope>, BTreeSet<String>), Set>,
    /// What was made last of each kind: the next shares structure with it.
    pub(crate) last: RefCell<Map<Last, Table>>,
    pub(crate) last_views: RefCell<Views>,
}

/// Its route configuration, its name, its domains, and the rest of it.
type VirtualHost = (Arc<str>, Arc<str>, Names, Same<Rest>);

/// A type, a namespace, and the objects that all resources of the table come from: of two workloads for which
/// different objects say the same, neither takes the place of the other.
type Last = (&'static str, String, Vec<Arc<ObjectRef>>);

/// What domains are of: a caller, a service, and a port when each is told with it.
type Named = (Same<Caller>, Same<Service>, Option<u16>);

impl Memo {
    /// The value for all scopes like this one.
    pub(crate) fn scope(&self, scope: Scope) -> Same<Scope> {
        let mut known = self.scopes.borrow_mut();
        let print = fingerprint(&scope, known.hasher());
        let alike = known.entry(print).or_default();
        if let Some(same) = alike.iter().find(|other| other.is(&scope)) {
            return Same(same.clone());
        }
        let same = Arc::new(scope);
        alike.push(same.clone());
        Same(same)
    }

    /// The value for all outbound views of the same parts.
    pub(crate) fn outbound(&self, outbound: impl Into<Arc<Outbound>>) -> Arc<Outbound> {
        let outbound = outbound.into();
        let mut known = self.outbounds.borrow_mut();
        if let Some(same) = known.iter().find(|other| other.is(&outbound)) {
            return same.clone();
        }
        known.push(outbound.clone());
        outbound
    }

    /// The value for all callers like this one.
    pub(crate) fn caller(&self, caller: Caller) -> Same<Caller> {
        let mut known = self.callers.borrow_mut();
        if let Some(same) = known.iter().find(|other| ***other == caller) {
            return Same(same.clone());
        }
        let same = Arc::new(caller);
        known.push(same.clone());
        Same(same)
    }

    /// What listeners depend on of a VirtualService: its rules for TLS and TCP, when it has any. The same value as
    /// long as these are equal.
    pub(crate) fn opaque(&self, routing: &Arc<Routing>) -> Option<Arc<Routing>> {
        let VirtualService { tls, tcp, http, .. } = &routing.spec;
        if tls.is_empty() && tcp.is_empty() {
            return None;
        }
        if http.is_empty() {
            return Some(routing.clone());
        }
        let same = self.opaque.get_or(Same(routing.clone()), || {
            let mut own = Routing::clone(routing);
            own.spec.http = Vec::new();
            let known = self.opaque.find(|known| *known == own);
            known.unwrap_or_else(|| Arc::new(own))
        });
        Some(same)
    }

    /// Forgets what was made last, for whom nobody knows any more. What is made next shares less.
    pub fn forget_last(&self) {
        self.last.borrow_mut().clear();
        *self.last_views.borrow_mut() = Views::default();
    }

    /// Forgets what nobody has in use.
    pub fn sweep(&self) {
        fn used<K, V>(_: &K, value: &Arc<V>) -> bool {
            Arc::strong_count(value) > 1
        }
        self.sets.retain(used);
        self.route_sets.retain(used);
        self.cluster_sets.retain(used);
        self.clusters.retain(used);
        self.hosts.retain(used);
        self.defaults.retain(used);
        // Nobody keeps domains; they are as good as the service that they are of.
        self.domains
            .retain(|(_, service, _), _| Arc::strong_count(&service.0) > 1);
        self.callers
            .borrow_mut()
            .retain(|caller| Arc::strong_count(caller) > 1);
        // Keys of one kind hold values of the next.
        self.scopes.borrow_mut().retain(|_, alike| {
            alike.retain(|scope| Arc::strong_count(scope) > 1);
            !alike.is_empty()
        });
        self.last.borrow_mut().retain(|(_, _, common), _| {
            let scopes = self.scopes.borrow();
            let mut scopes = scopes.values().flatten();
            common.is_empty() || scopes.any(|scope| scope.telemetry.origin == *common)
        });
        let known = &mut self.outbounds.borrow_mut();
        known.retain(|outbound| Arc::strong_count(outbound) > 1);
        self.opaque.retain(|key, _| Arc::strong_count(&key.0) > 1);
    }
}

/// An argument that counts by its address.
#[derive(Debug)]
pub(crate) struct Same<T>(pub(crate) Arc<T>);

impl<T> Clone for Same<T> {
    fn clone(&self) -> Self {
        Same(self.0.clone())
    }
}

impl<T> PartialEq for Same<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Same<T> {}

impl<T> Hash for Same<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).addr().hash(state);
    }
}

/// Results of one function.
#[derive(Debug)]
pub(crate) struct Results<K, V>(RefCell<Map<K, Arc<V>>>);

impl<K, V> Default for Results<K, V> {
    fn default() -> Self {
        Results(RefCell::new(Map::default()))
    }
}

impl<K: Eq + Hash, V> Results<K, V> {
    /// The result for these arguments, made now unless it is known.
    pub(crate) fn get_or(&self, key: K, make: impl FnOnce() -> Arc<V>) -> Arc<V> {
        if let Some(known) = self.0.borrow().get(&key) {
            return known.clone();
        }
        let made = make();
        self.0.borrow_mut().insert(key, made.clone());
        made
    }

    /// Makes room for so many results when there are none yet.
    pub(crate) fn expect(&self, count: usize) {
        let mut known = self.0.borrow_mut();
        if known.is_empty() {
            known.reserve(count);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.borrow().len()
    }

    fn find(&self, fits: impl Fn(&V) -> bool) -> Option<Arc<V>> {
        self.0.borrow().values().find(|value| fits(value)).cloned()
    }

    fn retain(&self, keep: impl Fn(&K, &Arc<V>) -> bool) {
        self.0.borrow_mut().retain(|key, value| keep(key, value));
    }
}

/// Equal for scopes that are alike; few others share it.
fn fingerprint(scope: &Scope, of: &impl BuildHasher) -> u64 {
    let workload = &scope.workload;
    of.hash_one((
        Arc::as_ptr(&scope.config).addr(),
        Arc::as_ptr(&scope.outbound).addr(),
        Arc::as_ptr(&scope.inbound).addr(),
        (&workload.namespace, &workload.name, &workload.locality),
    ))
}

#[cfg(test)]
mod tests;
