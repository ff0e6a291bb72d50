//! All resources of a scope. The memo has no entries yet: every derivation is a plain function of
//! its arguments, so that entries keyed by exactly these can be added.

use std::collections::BTreeSet;

use mesh::{Flavour, Role, Scope};
use proto::codec::{self, type_url};
use proto::pack::Pack;

use crate::{Resource, Resources, cluster, listener, name_table, route};

/// Results of earlier derivations. Empty or warm, [`derive`] gives the same bytes.
#[derive(Debug, Default)]
pub struct Memo {}

/// Everything that a proxy with this scope may ask for.
pub fn derive(scope: &Scope, _memo: &Memo) -> Resources {
    let mut resources = Resources::default();
    for made in cluster::all(scope) {
        let bytes = codec::encode_cluster(&made.cluster);
        let name = made.cluster.name;
        if let Some(view) = made.endpoints {
            resources.endpoints.insert(name.clone(), view.into());
        }
        let resource = Resource::new(bytes, made.origin);
        resources.insert(type_url::CLUSTER, name, resource);
    }
    let (listeners, routes) = match scope.role {
        Role::Sidecar => {
            let mut made = listener::outbound::all(scope);
            made.push(listener::outbound::catch_all(scope));
            made.push(listener::inbound::all(scope));
            let names: BTreeSet<String> =
                made.iter().flat_map(|made| made.routes.clone()).collect();
            let routes = names.iter().map(|name| route::sidecar(scope, name));
            (made, routes.collect::<Vec<_>>())
        }
        Role::Router => (listener::gateway::all(scope), route::gateway::all(scope)),
    };
    for made in listeners {
        let resource = Resource::new(codec::encode_listener(&made.listener), made.origin);
        resources.insert(type_url::LISTENER, made.listener.name, resource);
    }
    for made in routes {
        let resource = Resource::new(codec::encode_route(&made.configuration), made.origin);
        resources.insert(type_url::ROUTE, made.configuration.name, resource);
    }
    if scope.role == Role::Sidecar && scope.flavour == Flavour::IstioProxy {
        let origin = scope.outbound.services.iter();
        let origin = origin.map(|called| called.service.origin.clone()).collect();
        let table = name_table::of(scope).pack();
        let resource = Resource::new(table.value, origin);
        // There is one per proxy; upstream gives it no name.
        resources.insert(type_url::NAME_TABLE, String::new(), resource);
    }
    resources
}
