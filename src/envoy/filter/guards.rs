//! The filters that decide about calls of a workload: those of authorizers, of tokens and of rules, in
//! the order in which they are asked. They are the same on every chain, so they are made once.

use bytes::Bytes;
use mesh::Scope;
use proto::envoy::config::listener::v3::Filter;

use super::{authorization, ext_authz, jwt, order};

/// Filters that decide about calls.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    /// About requests, as a connection manager has them.
    pub(crate) requests: Bytes,
    /// About connections.
    pub(crate) connections: Vec<Filter>,
}

impl Guards {
    /// Those of a proxy.
    pub(crate) fn of(scope: &Scope) -> Self {
        let mut requests = ext_authz::requests(scope);
        requests.extend(jwt::filter_of(scope));
        requests.extend(authorization::requests(scope));
        let mut connections = ext_authz::connections(scope);
        connections.extend(authorization::connections(scope));
        Guards {
            requests: order::encoded(requests),
            connections,
        }
    }

    /// Puts those about connections before all other filters but the greeting, which tells them
    /// who is calling.
    pub(crate) fn stand_before(&self, filters: &mut Vec<Filter>) {
        let greets = |filter: &Filter| filter.name == super::peer::NAME;
        let place = usize::from(filters.first().is_some_and(greets));
        filters.splice(place..place, self.connections.iter().cloned());
    }
}
