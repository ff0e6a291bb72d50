//! Virtual hosts as encoded parts: what most of them consist of is made once and spliced into every
//! route configuration and virtual host that has it.

use std::borrow::Cow;
use std::sync::Arc;

use base::ObjectRef;
use bytes::{Bytes, BytesMut};
use proto::codec::{self, type_url};
use proto::envoy::config::route::v3 as wire;
use proto::wire::{put, put_head};
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

    fn encoded(&self) -> Cow<'_, [u8]> {
        match self {
            Names::All(of) => of.0.encoded[..].into(),
            Names::These(these) => {
                let bytes = domains(these.iter().map(AsRef::as_ref));
                Vec::from(bytes).into()
            }
        }
    }
}

/// Domains as a virtual host has them.
pub(super) fn domains<'a>(domains: impl Iterator<Item = &'a str>) -> Bytes {
    let mut bytes = Writer::with_capacity(128);
    for domain in domains {
        bytes.text(DOMAINS, domain);
    }
    bytes.finish()
}

/// Routes, encoded once for all hosts that have them.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pub(super) some: Bytes,
    /// The one that takes everything.
    pub(super) all: Bytes,
}

impl Routes {
    pub(crate) fn is_empty(&self) -> bool {
        self.some.is_empty() && self.all.is_empty()
    }
}

/// All of it but its name and domains, encoded in parts that others may have too.
#[derive(Debug)]
pub(crate) struct Rest {
    parts: Vec<Bytes>,
    length: usize,
    pub(crate) origin: Vec<Arc<ObjectRef>>,
}

impl Rest {
    /// A host without name and domains, of which `own` is all but the routes. What takes everything
    /// would hide the routes behind it, so it goes last.
    pub(crate) fn new(routes: &[&Routes], own: Bytes, origin: Vec<Arc<ObjectRef>>) -> Self {
        let parts = routes.iter().map(|routes| &routes.some);
        let parts = parts.chain(routes.iter().map(|routes| &routes.all));
        let parts = parts.chain([&own]).filter(|part| !part.is_empty());
        let parts: Vec<Bytes> = parts.cloned().collect();
        Rest {
            length: parts.iter().map(Bytes::len).sum(),
            parts,
            origin,
        }
    }

    /// One that nothing else has a part of, encoded.
    pub(super) fn whole(bytes: Bytes, origin: Vec<Arc<ObjectRef>>) -> Self {
        Rest {
            length: bytes.len(),
            parts: vec![bytes],
            origin,
        }
    }

    fn put(&self, into: &mut BytesMut) {
        self.parts
            .iter()
            .for_each(|part| into.extend_from_slice(part));
    }
}

impl Host {
    /// Puts the encoded virtual host to others.
    fn put(&self, into: &mut BytesMut) {
        let domains = self.domains.encoded();
        let length =
            proto::wire::field_length(NAME, self.name.len()) + domains.len() + self.rest.length;
        put_head(into, VIRTUAL_HOSTS, length);
        put(into, NAME, self.name.as_bytes());
        into.extend_from_slice(&domains);
        self.rest.put(into);
    }

    /// As a resource of its own, of a route configuration.
    pub(crate) fn apart(&self, route: &Arc<str>, memo: &Memo) -> Arc<Resource> {
        let rest = Same(self.rest.clone());
        let key = (route.clone(), self.name.clone(), self.domains.clone(), rest);
        memo.hosts.get_or(key, || {
            let name = format!("{route}/{}", self.name);
            let domains = self.domains.encoded();
            let length = name.len() + HEAD + domains.len() + self.rest.length;
            let mut bytes = BytesMut::with_capacity(length);
            put(&mut bytes, NAME, name.as_bytes());
            bytes.extend_from_slice(&domains);
            self.rest.put(&mut bytes);
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
        host.name.len() + 2 * HEAD + domains.sum::<usize>() + host.rest.length
    });
    let length = name.len() + HEAD + of_hosts.sum::<usize>() + own.len();
    let mut bytes = BytesMut::with_capacity(length);
    put(&mut bytes, ROUTE_NAME, name.as_bytes());
    hosts.iter().for_each(|host| host.put(&mut bytes));
    bytes.extend_from_slice(&own);
    bytes.freeze()
}
