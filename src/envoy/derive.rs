//! All resources of a scope: each kind from the part of the scope that it may depend on, by way of
//! the memo, which holds what was made from the same part before.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::ObjectRef;
use mesh::{Flavour, Role, Scope, VirtualHosts};
use proto::codec::type_url;

use crate::memo::{Memo, Same};
use crate::resource::{Resource, Resources, Table, Views, become_only};
use crate::{EndpointView, cluster, listener, name_table, narrow, route};

/// Resources of one kind.
#[derive(Debug, Default)]
pub(crate) struct Set {
    table: Table,
    views: Views,
    /// Virtual hosts, apart from the route configurations of `table`.
    hosts: Table,
    /// Names of route configurations that listeners ask for.
    routes: BTreeSet<String>,
    /// What it was put together from.
    _parts: Vec<Arc<Clusters>>,
    _rests: Vec<Arc<route::fragment::Rest>>,
}

/// Encoded clusters of one service.
#[derive(Debug)]
pub(crate) struct Clusters(Vec<(Arc<Resource>, Option<Arc<EndpointView>>)>);

/// Everything that a proxy with this scope may ask for.
pub fn derive(scope: &Scope, memo: &Memo) -> Resources {
    let mut resources = Resources::default();
    for type_url in TYPES {
        add_type(scope, memo, type_url, &mut resources);
    }
    resources
}

/// The resources of one type only; virtual hosts come with their route configurations.
pub fn derive_type(scope: &Scope, memo: &Memo, type_url: &str) -> Resources {
    let mut resources = Resources::default();
    add_type(scope, memo, type_url, &mut resources);
    resources
}

const TYPES: [&str; 4] = [
    type_url::CLUSTER,
    type_url::LISTENER,
    type_url::ROUTE,
    type_url::NAME_TABLE,
];

fn add_type(scope: &Scope, memo: &Memo, type_url: &str, into: &mut Resources) {
    match type_url {
        type_url::CLUSTER => clusters(scope, memo, into),
        type_url::LISTENER => {
            let listeners = listeners(scope, memo);
            *into.table_mut(type_url::LISTENER) = listeners.table.clone();
            into.keep(listeners);
        }
        type_url::ROUTE => {
            let part = narrow::for_routes(scope, memo);
            let routes = match scope.role {
                // Which are asked for is no part of the scope, but follows from it.
                Role::Sidecar => routes(&part, &listeners(scope, memo).routes, memo),
                Role::Router => gateway_routes(&part, memo),
            };
            *into.table_mut(type_url::ROUTE) = routes.table.clone();
            if scope.virtual_hosts == VirtualHosts::Apart {
                *into.table_mut(type_url::VIRTUAL_HOST) = routes.hosts.clone();
            }
            into.keep(routes);
        }
        type_url::NAME_TABLE
            if scope.role == Role::Sidecar && scope.flavour == Flavour::IstioProxy =>
        {
            let names = names(scope, memo);
            *into.table_mut(type_url::NAME_TABLE) = names.table.clone();
            into.keep(names);
        }
        _ => {}
    }
}

/// The clusters of services are the same for all proxies that call the same, but for those that
/// depend on where a proxy stands.
fn clusters(scope: &Scope, memo: &Memo, into: &mut Resources) {
    let services = &scope.outbound.services;
    let depends = |called: &mesh::OutboundService| called.depends_on_place(&scope.config);
    let far = narrow::for_clusters(scope, memo, false);
    let place = services.iter().any(|called| depends(called));
    let near = place.then(|| narrow::for_clusters(scope, memo, true));
    let key = (narrow::for_cluster_set(&far, scope, memo), near.clone());
    let set = memo.cluster_sets.get_or(key, || {
        let [near, far] = [near.as_ref().unwrap_or(&far), &far].map(|part| {
            let usual = cluster::Usual::new(&part.0);
            (part, usual)
        });
        // What only stands for another service has no clusters.
        let own = services.iter().filter(|called| !called.service.is_alias());
        let parts = own.map(|called| {
            let (part, usual) = if depends(called) { &near } else { &far };
            let key = ((*part).clone(), Same(called.clone()));
            memo.clusters.get_or(key, || {
                let made = cluster::of_service(usual, called);
                Arc::new(Clusters(made.into_iter().map(encoded).collect()))
            })
        });
        let parts: Vec<Arc<Clusters>> = parts.collect();
        let made = parts.iter().flat_map(|part| &part.0);
        let table = memo.table(
            type_url::CLUSTER,
            "",
            &[],
            made.clone().map(|(resource, _)| resource.clone()),
        );
        let views = made.filter_map(|(resource, view)| Some((&resource.name, view.as_ref()?)));
        Arc::new(Set {
            table,
            views: memo.views(views),
            _parts: parts,
            ..Set::default()
        })
    });
    into.endpoints = set.views.clone();
    let mut table = set.table.clone();
    let part = narrow::for_own_clusters(scope, memo);
    let own = memo.sets.get_or((type_url::CLUSTER, part.clone()), || {
        let mut own = Set::default();
        for (resource, _) in cluster::own(&part.0).into_iter().map(encoded) {
            own.table.insert(resource);
        }
        Arc::new(own)
    });
    for resource in own.table.iter() {
        table.insert(resource.clone());
    }
    *into.table_mut(type_url::CLUSTER) = table;
    into.keep(set);
    into.keep(own);
}

fn encoded(made: cluster::Made) -> (Arc<Resource>, Option<Arc<EndpointView>>) {
    let bytes = made.encoded.bytes();
    let resource = Resource::new(type_url::CLUSTER, made.name, bytes, made.origin);
    (Arc::new(resource), made.endpoints.map(Arc::new))
}

fn listeners(scope: &Scope, memo: &Memo) -> Arc<Set> {
    let part = narrow::for_listeners(scope, memo);
    memo.sets.get_or((type_url::LISTENER, part.clone()), || {
        let scope = &*part.0;
        let made = match scope.role {
            Role::Sidecar => {
                let mut made = listener::outbound::all(scope);
                made.extend(listener::inbound::all(scope));
                made
            }
            Role::Router => listener::gateway::all(scope),
        };
        let routes = made.iter().flat_map(|made| made.routes.clone()).collect();
        let (of, common) = (&scope.workload.namespace, &scope.telemetry.origin);
        let resources = made.into_iter().map(|made| {
            let mut origin = made.origin;
            origin.extend(common.iter().cloned());
            let bytes = made.written.bytes();
            Arc::new(Resource::new(type_url::LISTENER, made.name, bytes, origin))
        });
        Arc::new(Set {
            table: memo.table(type_url::LISTENER, of, common, resources),
            routes,
            ..Set::default()
        })
    })
}

fn routes(part: &Same<Scope>, names: &BTreeSet<String>, memo: &Memo) -> Arc<Set> {
    memo.route_sets.get_or((part.clone(), names.clone()), || {
        let made = route::sidecar(&part.0, names, memo);
        Arc::new(route_set(&part.0, made, memo))
    })
}

fn gateway_routes(part: &Same<Scope>, memo: &Memo) -> Arc<Set> {
    memo.sets.get_or((type_url::ROUTE, part.clone()), || {
        Arc::new(route_set(&part.0, route::gateway::all(&part.0), memo))
    })
}

fn route_set(scope: &Scope, made: Vec<route::Made>, memo: &Memo) -> Set {
    let mut hosts = Vec::new();
    let mut resources = Vec::new();
    let mut rests = Vec::new();
    for mut made in made {
        if scope.virtual_hosts == VirtualHosts::Apart {
            hosts.extend(route::apart::split(&mut made, memo));
        }
        let name = made.configuration.name.clone();
        let written = route::fragment::encoded(made.configuration, &made.hosts);
        let mut origin = made.origin;
        let of_hosts = made.hosts.iter().flat_map(|host| &host.rest.origin);
        origin.extend(of_hosts.cloned());
        let resource = Resource::new(type_url::ROUTE, name, written.bytes(), origin);
        resources.push(Arc::new(resource));
        let all = made.hosts.into_iter().chain(made.apart);
        rests.extend(all.map(|host| host.rest));
    }
    let of = &scope.workload.namespace;
    Set {
        table: memo.table(type_url::ROUTE, of, &[], resources.into_iter()),
        hosts: memo.table(type_url::VIRTUAL_HOST, of, &[], hosts.into_iter()),
        _rests: rests,
        ..Set::default()
    }
}

fn names(scope: &Scope, memo: &Memo) -> Arc<Set> {
    let part = narrow::for_names(scope, memo);
    memo.sets.get_or((type_url::NAME_TABLE, part.clone()), || {
        let services = part.0.outbound.services.iter();
        let origin = services.map(|called| called.service.origin.clone());
        let table = name_table::of(&part.0);
        // There is one per proxy; upstream gives it no name.
        let resource = Resource::new(type_url::NAME_TABLE, "", table.bytes(), origin.collect());
        let mut set = Set::default();
        set.table.insert(Arc::new(resource));
        Arc::new(set)
    })
}

impl Memo {
    /// A table of exactly `resources`, which shares structure with the one made last of its type
    /// for a namespace. All of them come from the objects of `common`, in its order.
    fn table(
        &self,
        type_url: &'static str,
        namespace: &str,
        common: &[Arc<ObjectRef>],
        resources: impl Iterator<Item = Arc<Resource>>,
    ) -> Table {
        let key = (type_url, namespace.to_owned(), common.to_vec());
        let mut last = self.last.borrow_mut();
        let last = last.entry(key).or_default();
        last.become_only(resources);
        last.clone()
    }

    /// Exactly `views`, sharing structure with those made last.
    fn views<'a>(
        &self,
        views: impl Iterator<Item = (&'a Arc<str>, &'a Arc<EndpointView>)>,
    ) -> Views {
        let mut last = self.last_views.borrow_mut();
        let views = views.map(|(name, view)| (name.clone(), view.clone()));
        become_only(&mut last, views.collect());
        last.clone()
    }
}

#[cfg(test)]
mod tests;
