//! The resources of one scope, brought from one state to the next. What stays equal stays the same value, so
//! that streams see at a glance what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::snapshot::{Address, World};
use envoy::Memo;
use mesh::{Proxy, Scope, SecretPlace};
use proto::codec::type_url;

use crate::Resources;
use crate::assignment::Assignments;
use crate::secrets;

/// Derived from one scope.
#[derive(Debug, Default)]
pub(crate) struct Derivation {
    scope: Option<Scope>,
    /// Addresses that the scope's services spell out.
    spelled_out: BTreeSet<IpAddr>,
    /// Secrets that the resources refer to.
    secrets: BTreeMap<String, SecretPlace>,
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
    pub fn update(
        &mut self,
        scope: Scope,
        memo: &Memo,
        assignments: &mut Assignments,
        world: &World,
    ) {
        let scope = match &self.scope {
            Some(before) => scope.keeping(before),
            None => scope,
        };
        if self.scope.as_ref().is_some_and(|before| before.is(&scope)) {
            self.assign(assignments, world);
            return;
        }
        let mut resources = envoy::derive(&scope, memo);
        *resources.table_mut(type_url::ENDPOINT) = assignments.table(&resources.endpoints, world);
        self.secrets = mesh::secrets_of(&scope);
        if !self.secrets.is_empty() {
            let table = resources.table_mut(type_url::SECRET);
            table.clone_from(self.resources.table(type_url::SECRET));
            secrets::update(table, &self.secrets, world);
        }
        self.spelled_out = spelled_out(&scope);
        self.scope = Some(scope);
        if *self.resources != resources {
            self.resources = Arc::new(resources);
        }
    }

    /// Follows a change of endpoints and secrets.
    pub fn assign(&mut self, assignments: &mut Assignments, world: &World) {
        let table = assignments.table(&self.resources.endpoints, world);
        if *self.resources.table(type_url::ENDPOINT) != table {
            let mut resources = Resources::clone(&self.resources);
            *resources.table_mut(type_url::ENDPOINT) = table;
            self.resources = Arc::new(resources);
        }
        if self.secrets.is_empty() {
            return;
        }
        let mut table = self.resources.table(type_url::SECRET).clone();
        secrets::update(&mut table, &self.secrets, world);
        if *self.resources.table(type_url::SECRET) != table {
            let mut resources = Resources::clone(&self.resources);
            *resources.table_mut(type_url::SECRET) = table;
            self.resources = Arc::new(resources);
        }
    }
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
