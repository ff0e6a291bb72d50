//! Virtual hosts as encoded parts: what most of them consist of is made once and spliced into every
//! route configuration and virtual host that has it.

use std::sync::Arc;

use base::ObjectRef;
use bytes::Bytes;
use proto::codec::{self, type_url};
use proto::envoy::config::route::v3 as wire;
use proto::wire::field_length;
use proto::writer::Writer;

use super::domains::Domains;
use crate::Resource;
use crate::memo::{Memo, Same};

/// Field numbers of `VirtualHost`; all others are larger.
const NAME: u32 = 1;
const DOMAINS: u32 = 2;
/// Field numbers of `RouteConfiguration`; all others are larger.
const ROUTE_NAME: u32 = 1;
const VIRTUAL_HOSTS: u32 = 2;

/// A virtual host.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) name: Arc<str>,
    pub(crate) domains: Names,
    pub(crate) rest: Arc<Rest>,
}

/// The domains of a virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Names {
    /// All of a service.
    All(Same<Domains>),
    /// These.
    These(Vec<Arc<str>>),
    /// Whatever is called.
    Any,
}

impl Names {
    /// Some of a service's, or all of them; `None` when it is none.
    pub(super) fn some(of: &Same<Domains>, some: &[&str]) -> Option<Self> {
        if some.is_empty() {
            return None;
        }
        Some(if some.len() == of.0.len() {
            Names::All(of.clone())
        } else {
            Names::These(some.iter().map(|own| (*own).into()).collect())
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let (all, these) = match self {
            Names::All(of) => (Some(of.0.iter()), &[][..]),
            Names::These(these) => (None, &these[..]),
            Names::Any => (None, &[][..]),
        };
        let all = all.into_iter().flatten().map(|domain| domain.text);
        let any = matches!(self, Names::Any).then_some("*");
        all.chain(these.iter().map(AsRef::as_ref)).chain(any)
    }

    /// How many bytes they take in a virtual host.
    fn length(&self) -> usize {
        let lengths = self
            .iter()
            .map(|domain| field_length(DOMAINS, domain.len()));
        lengths.sum()
    }

    fn put(&self, into: &mut Writer) {
        for domain in self.iter() {
            into.text(DOMAINS, domain);
        }
    }
}

/// Routes, encoded once for all hosts that have them.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pub(super) some: Bytes,
    /// The one that takes everything.
    pub(super) all: Bytes,
    /// The DestinationRules whose hashes they take in.
    pub(super) hashes: Vec<Arc<ObjectRef>>,
}

impl Routes {
    pub(crate) fn is_empty(&self) -> bool {
        self.some.is_empty() && self.all.is_empty()
    }
}

/// All of it but its name and domains, encoded in parts that others may have too.
#[derive(Debug)]
pub(crate) struct Rest {
    routes: Vec<Bytes>,
    own: Bytes,
    length: usize,
    pub(crate) origin: Vec<Arc<ObjectRef>>,
}

impl Rest {
    /// A host without name and domains, of which `own` is all but the routes. What takes everything
    /// would hide the routes behind it, so it goes last.
    pub(crate) fn new(routes: &[&Routes], own: Bytes, origin: Vec<Arc<ObjectRef>>) -> Self {
        let some = routes.iter().map(|routes| &routes.some);
        let all = routes.iter().map(|routes| &routes.all);
        let parts = some.chain(all).filter(|part| !part.is_empty());
        let routes: Vec<Bytes> = parts.cloned().collect();
        let length = routes.iter().map(Bytes::len).sum::<usize>() + own.len();
        Rest {
            routes,
            own,
            length,
            origin,
        }
    }

    fn put(&self, into: &mut Writer) {
        for part in &self.routes {
            into.raw(part);
        }
        into.raw(&self.own);
    }
}

impl Host {
    /// How many bytes it takes under a name.
    fn length(&self, name: &str) -> usize {
        field_length(NAME, name.len()) + self.domains.length() + self.rest.length
    }

    /// Writes it under a name.
    fn put(&self, name: &str, into: &mut Writer) {
        into.text(NAME, name);
        self.domains.put(into);
        self.rest.put(into);
    }

    /// As a resource of its own, of a route configuration.
    pub(crate) fn apart(&self, route: &Arc<str>, memo: &Memo) -> Arc<Resource> {
        let rest = Same(self.rest.clone());
        let key = (route.clone(), self.name.clone(), self.domains.clone(), rest);
        memo.hosts.get_or(key, || {
            let name = format!("{route}/{}", self.name);
            let mut own = Writer::with_capacity(self.length(&name));
            self.put(&name, &mut own);
            let origin = self.rest.origin.clone();
            Arc::new(Resource::new(
                type_url::VIRTUAL_HOST,
                name,
                own.bytes(),
                origin,
            ))
        })
    }

    /// Whether it stands for every host.
    pub(crate) fn is_everything(&self) -> bool {
        self.domains.iter().any(|domain| domain == "*")
    }
}

/// A route configuration with `hosts` before those that it has.
pub(crate) fn encoded(mut configuration: wire::RouteConfiguration, hosts: &[Host]) -> Writer {
    let name = std::mem::take(&mut configuration.name);
    let own = codec::encode_route(&configuration);
    let lengths: Vec<usize> = hosts.iter().map(|host| host.length(&host.name)).collect();
    let of_hosts = lengths
        .iter()
        .map(|length| field_length(VIRTUAL_HOSTS, *length));
    let length = field_length(ROUTE_NAME, name.len()) + of_hosts.sum::<usize>() + own.len();
    let mut whole = Writer::with_capacity(length);
    whole.text(ROUTE_NAME, &name);
    for (host, length) in hosts.iter().zip(lengths) {
        whole.head(VIRTUAL_HOSTS, length);
        host.put(&host.name, &mut whole);
    }
    whole.raw(&own);
    whole
}
