//! Virtual hosts as encoded parts: what most of them consist of is made once and spliced into every
//! route configuration and virtual host that has it.

use std::sync::Arc;

use base::ObjectRef;
use bytes::{Bytes, BytesMut};
use proto::codec::{self, type_url};
use proto::envoy::config::route::v3 as wire;
use proto::wire::{put, put_head};

use super::domains::Domains;
use super::rule;
use crate::Resource;
use crate::memo::{Memo, Same};

/// Field numbers of `VirtualHost`; all others are larger.
const NAME: u32 = 1;
const DOMAINS: u32 = 2;
/// Field numbers of `RouteConfiguration`; all others are larger.
const ROUTE_NAME: u32 = 1;
const VIRTUAL_HOSTS: u32 = 2;
/// What tag and length of a field take at most.
const HEAD: usize = 6;

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
}

impl Names {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        let (all, these) = match self {
            Names::All(of) => (&of.0.all[..], &[][..]),
            Names::These(these) => (&[][..], &these[..]),
        };
        all.iter().map(|domain| &domain.text).chain(these)
    }

    fn encoded(&self) -> Bytes {
        match self {
            Names::All(of) => of.0.encoded.clone(),
            Names::These(these) => domains(these.iter().map(AsRef::as_ref)),
        }
    }
}

/// Domains as a virtual host has them.
pub(super) fn domains<'a>(domains: impl Iterator<Item = &'a str>) -> Bytes {
    let mut bytes = BytesMut::new();
    for domain in domains {
        put(&mut bytes, DOMAINS, domain.as_bytes());
    }
    bytes.freeze()
}

/// Routes, encoded once for all hosts that have them.
#[derive(Debug)]
pub(crate) struct Routes {
    some: Bytes,
    /// The one that takes everything.
    all: Bytes,
}

impl Routes {
    /// Routes in order, of which only the last may take everything.
    pub(crate) fn new(mut routes: Vec<wire::Route>) -> Self {
        let encoded = |routes: Vec<wire::Route>| {
            codec::encode_virtual_host(&wire::VirtualHost {
                routes,
                ..Default::default()
            })
        };
        let last = routes.pop_if(|last| rule::takes_everything(last));
        Routes {
            some: encoded(routes),
            all: encoded(last.into_iter().collect()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.some.is_empty() && self.all.is_empty()
    }
}

/// All of it but its name and domains, encoded.
#[derive(Debug)]
pub(crate) struct Rest {
    bytes: Bytes,
    pub(crate) origin: Vec<Arc<ObjectRef>>,
}

impl Rest {
    /// A host without name and domains. What takes everything would hide the routes behind it, so
    /// it goes last.
    pub(crate) fn new(
        routes: &[&Routes],
        host: &wire::VirtualHost,
        origin: Vec<Arc<ObjectRef>>,
    ) -> Self {
        let own = codec::encode_virtual_host(host);
        let parts = routes.iter().map(|routes| &routes.some);
        let parts = parts.chain(routes.iter().map(|routes| &routes.all));
        let length = parts.clone().map(Bytes::len).sum::<usize>() + own.len();
        let mut bytes = BytesMut::with_capacity(length);
        parts
            .chain([&own])
            .for_each(|part| bytes.extend_from_slice(part));
        Rest {
            bytes: bytes.freeze(),
            origin,
        }
    }
}

impl Host {
    /// Puts the encoded virtual host to others.
    fn put(&self, into: &mut BytesMut) {
        let domains = self.domains.encoded();
        let length = proto::wire::field_length(NAME, self.name.len())
            + domains.len()
            + self.rest.bytes.len();
        put_head(into, VIRTUAL_HOSTS, length);
        put(into, NAME, self.name.as_bytes());
        into.extend_from_slice(&domains);
        into.extend_from_slice(&self.rest.bytes);
    }

    /// As a resource of its own, of a route configuration.
    pub(crate) fn apart(&self, route: &Arc<str>, memo: &Memo) -> Arc<Resource> {
        let rest = Same(self.rest.clone());
        let key = (route.clone(), self.name.clone(), self.domains.clone(), rest);
        memo.hosts.get_or(key, || {
            let name = format!("{route}/{}", self.name);
            let domains = self.domains.encoded();
            let length = name.len() + HEAD + domains.len() + self.rest.bytes.len();
            let mut bytes = BytesMut::with_capacity(length);
            put(&mut bytes, NAME, name.as_bytes());
            bytes.extend_from_slice(&domains);
            bytes.extend_from_slice(&self.rest.bytes);
            let origin = self.rest.origin.clone();
            Arc::new(Resource::new(type_url::VIRTUAL_HOST, name, &bytes, origin))
        })
    }

    /// Whether it stands for every host.
    pub(crate) fn is_everything(&self) -> bool {
        self.domains.iter().any(|domain| **domain == *"*")
    }
}

/// A route configuration with `hosts` before those that it has.
pub(crate) fn encoded(mut configuration: wire::RouteConfiguration, hosts: &[Host]) -> Bytes {
    let name = std::mem::take(&mut configuration.name);
    let own = codec::encode_route(&configuration);
    let of_hosts = hosts.iter().map(|host| {
        let domains = host.domains.iter().map(|domain| domain.len() + HEAD);
        host.name.len() + 2 * HEAD + domains.sum::<usize>() + host.rest.bytes.len()
    });
    let length = name.len() + HEAD + of_hosts.sum::<usize>() + own.len();
    let mut bytes = BytesMut::with_capacity(length);
    put(&mut bytes, ROUTE_NAME, name.as_bytes());
    hosts.iter().for_each(|host| host.put(&mut bytes));
    bytes.extend_from_slice(&own);
    bytes.freeze()
}
