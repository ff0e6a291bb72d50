//! What the routes of all listeners of a scope are made with: what many virtual hosts have in common, and what
//! is known of services already.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use api::proxy_config::Switch;
use base::hash::Map;
use bytes::Bytes;
use mesh::{Egress, OutboundService, Scope, Service};
use proto::envoy::config::route::v3 as wire;
use proto::pack::Put;
use proto::writer::Writer;

use super::at::Known;
use super::domains::{Caller, Domains};
use super::fragment::Rest;
use super::{action, domains, hash, session};
use crate::memo::{Memo, Same};
use crate::narrow;

/// What the routes of all listeners of a scope are made with.
pub(super) struct Making<'a> {
    pub(super) scope: &'a Scope,
    memo: &'a Memo,
    /// What routes to a service depend on beside it.
    bare: Same<Scope>,
    /// What domains depend on.
    named: Same<Caller>,
    /// Routes of VirtualServices.
    pub(super) known: Known<'a>,
    /// What most virtual hosts are but for names and routes.
    plain: Bytes,
    /// Services of egress listeners by host, where single ones are asked for.
    seen: RefCell<Map<*const Egress, Services<'a>>>,
}

/// Services by host, in the form in which the routes of a port see them.
type Services<'a> = Map<Cow<'a, str>, Vec<&'a Arc<OutboundService>>>;

impl<'a> Making<'a> {
    pub(super) fn new(scope: &'a Scope, memo: &'a Memo) -> Self {
        let bare = narrow::for_clusters(scope, memo, false);
        Making {
            scope,
            memo,
            known: Known::new(&bare.0),
            plain: plain(&bare.0).fields(),
            bare,
            named: memo.caller(narrow::for_domains(scope)),
            seen: RefCell::default(),
        }
    }

    /// The services of a host, the oldest first.
    pub(super) fn only(&self, view: &'a Egress, host: &str) -> Vec<&'a Arc<OutboundService>> {
        let mut seen = self.seen.borrow_mut();
        let seen = seen.entry(std::ptr::from_ref(view)).or_insert_with(|| {
            let mut by_host = Services::default();
            by_host.reserve(view.services.len());
            for called in &view.services {
                let host = domains::lower(&called.service.id.host);
                by_host.entry(host).or_default().push(called);
            }
            by_host
        });
        seen.get(&*domains::lower(host))
            .cloned()
            .unwrap_or_default()
    }

    /// Says that so many services are asked for.
    pub(super) fn expect(&self, count: usize) {
        self.memo.domains.expect(count);
        self.memo.defaults.expect(count);
    }

    /// The forms in which callers may name a service; with a port, each also with that.
    pub(super) fn domains(&self, service: &Arc<Service>, port: Option<u16>) -> Same<Domains> {
        let key = (self.named.clone(), Same(service.clone()), port);
        Same(self.memo.domains.get_or(key, || {
            Arc::new(domains::of_service(&self.named.0, service, port))
        }))
    }

    /// A virtual host without its name, domains and routes: for a service, or for a host that is none.
    pub(super) fn own(&self, called: Option<&OutboundService>) -> Bytes {
        let scope = &self.bare.0;
        match called.and_then(|called| session::of(scope, &called.service)) {
            None => self.plain.clone(),
            Some(session) => wire::VirtualHost {
                typed_per_filter_config: [session].into(),
                ..plain(scope)
            }
            .fields(),
        }
    }

    /// The virtual host of a service without a VirtualService, but for name and domains.
    pub(super) fn unrouted(&self, called: &Arc<OutboundService>, port: u16) -> Arc<Rest> {
        let key = (self.bare.clone(), Same(called.clone()), port);
        self.memo.defaults.get_or(key, || {
            let host = &called.service.id.host;
            let own = self.own(Some(called));
            let retries = &self.known.retries;
            let length = retries.len() + own.len() + 2 * host.len() + 96;
            let mut rest = Writer::with_capacity(length);
            action::put_default(called, port, retries, &mut rest);
            rest.raw(&own);
            let mut origin = vec![called.service.origin.clone()];
            let hash = hash::of_service(called, port).and(called.rule.as_ref());
            origin.extend(hash.iter().flat_map(|rule| rule.origin.iter().cloned()));
            Arc::new(Rest::new(&[], rest.finish(), origin))
        })
    }
}

/// Whether hosts are told how often a request was tried.
pub(super) fn counts_attempts(scope: &Scope) -> bool {
    let own = scope.settings.config(&scope.config.default_config);
    let headers = own.proxy_headers.as_ref();
    !Switch::is_off(headers.and_then(|headers| headers.attempt_count))
}

/// A virtual host of which nothing is said.
fn plain(scope: &Scope) -> wire::VirtualHost {
    wire::VirtualHost {
        include_request_attempt_count: counts_attempts(scope),
        ..Default::default()
    }
}
