//! The resources of one scope, brought from one state to the next. What stays equal by content stays the same
//! value, so that streams see at a glance what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::snapshot::{Address, HostEndpoints, HostId, World};
use envoy::{EndpointView, Memo};
use imbl::ordmap::DiffItem;
use mesh::{Proxy, Scope};
use proto::codec::{encode_endpoint, type_url};

use crate::{Resource, Resources};

/// Derived from one scope.
#[derive(Debug, Default)]
pub(crate) struct Derivation {
    scope: Option<Scope>,
    memo: Memo,
    /// Addresses that the scope's services spell out.
    spelled_out: BTreeSet<IpAddr>,
    views: BTreeMap<String, Arc<EndpointView>>,
    /// Clusters by the host whose endpoints they have.
    by_host: BTreeMap<HostId, Vec<String>>,
    /// The endpoints that were assigned last.
    endpoints: imbl::OrdMap<HostId, Arc<HostEndpoints>>,
    resources: Arc<Resources>,
}

impl Derivation {
    /// What proxies of this scope are to have.
    pub fn resources(&self) -> &Arc<Resources> {
        &self.resources
    }

    /// Those addresses of a proxy that its resources depend on.
    pub fn own_addresses(&self, proxy: &Proxy) -> Vec<IpAddr> {
        let own = proxy.addresses.iter();
        own.filter(|address| self.spelled_out.contains(address))
            .copied()
            .collect()
    }

    /// Follows a change of relations. Nothing is taken over before everything is derived.
    pub fn update(&mut self, scope: Scope, world: &World) {
        if self.scope.as_ref() == Some(&scope) {
            self.assign(world);
            return;
        }
        let derived = envoy::derive(&scope, &self.memo);
        let mut resources = Resources::clone(&self.resources);
        for type_url in [type_url::CLUSTER, type_url::LISTENER, type_url::ROUTE] {
            let table = resources.table_mut(type_url);
            let before = table.clone();
            table.become_only(derived.of_type(type_url).map(|(name, resource)| {
                let known = before.get(name);
                let known = known.filter(|known| known.version == resource.version);
                known.cloned().unwrap_or_else(|| {
                    Arc::new(Resource {
                        name: name.as_str().into(),
                        version: resource.version,
                        bytes: resource.bytes.clone(),
                        origin: resource.origin.clone(),
                    })
                })
            }));
        }

        // Endpoints: those of views that stayed equal are as current as they were.
        let views = derived.endpoints;
        let mut by_host: BTreeMap<HostId, Vec<String>> = BTreeMap::new();
        let table = resources.table_mut(type_url::ENDPOINT);
        for (cluster, view) in &views {
            let of_host = by_host.entry(view.host.clone()).or_default();
            of_host.push(cluster.clone());
            if self.views.get(cluster) != Some(view) {
                table.insert(assigned(cluster, view, world));
            }
        }
        for cluster in self.views.keys() {
            if !views.contains_key(cluster) {
                table.remove(cluster);
            }
        }
        self.spelled_out = spelled_out(&scope);
        self.scope = Some(scope);
        self.views = views;
        self.by_host = by_host;
        self.resources = Arc::new(resources);
        self.assign(world);
    }

    /// Follows a change of endpoints.
    pub fn assign(&mut self, world: &World) {
        let before = std::mem::replace(&mut self.endpoints, world.endpoints().clone());
        let mut changed = Vec::new();
        for item in before.diff(&self.endpoints) {
            let (DiffItem::Add(host, _)
            | DiffItem::Remove(host, _)
            | DiffItem::Update { new: (host, _), .. }) = item;
            for cluster in self.by_host.get(host).into_iter().flatten() {
                changed.push(assigned(cluster, &self.views[cluster], world));
            }
        }
        let table = self.resources.table(type_url::ENDPOINT);
        changed.retain(|resource| table.get(&resource.name) != Some(resource));
        if changed.is_empty() {
            return;
        }
        let mut resources = Resources::clone(&self.resources);
        for resource in changed {
            resources.table_mut(type_url::ENDPOINT).insert(resource);
        }
        self.resources = Arc::new(resources);
    }
}

fn assigned(cluster: &str, view: &EndpointView, world: &World) -> Arc<Resource> {
    let none = HostEndpoints::default();
    let endpoints = world
        .endpoints()
        .get(&view.host)
        .map_or(&none, |known| known);
    let bytes = encode_endpoint(&envoy::assign(view, endpoints));
    Arc::new(Resource::new(cluster, bytes))
}

fn spelled_out(scope: &Scope) -> BTreeSet<IpAddr> {
    let services = scope.outbound.services.iter();
    let spelled = services.filter_map(|visible| visible.service.spelled_out.as_ref());
    let endpoints = spelled.flat_map(|of_host| &of_host.endpoints);
    endpoints
        .filter_map(|endpoint| match endpoint.address {
            Address::Ip(address) => Some(address),
            Address::Name(_) | Address::Unix(_) => None,
        })
        .collect()
}
