//! Virtual hosts as encoded parts: what most of them consist of is made once and spliced into every
//! route configuration and virtual host that has it.

use std::sync::Arc;

use base::ObjectRef;
use bytes::{Bytes, BytesMut};
use proto::codec::{self, type_url};
use proto::envoy::config::route::v3 as wire;
use proto::wire::field;

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
    pub(crate) name: String,
    pub(crate) domains: Vec<String>,
    pub(crate) rest: Arc<Rest>,
}

/// All of it but its name and domains, encoded.
#[derive(Debug)]
pub(crate) struct Rest {
    bytes: Bytes,
    origin: Vec<ObjectRef>,
}

impl Rest {
    /// Of a host without name and domains.
    pub(crate) fn new(host: &wire::VirtualHost, origin: Vec<ObjectRef>) -> Self {
        Rest {
            bytes: codec::encode_virtual_host(host),
            origin,
        }
    }

    /// As if it came from these, too.
    pub(crate) fn blaming(mut self, origin: &[ObjectRef]) -> Self {
        self.origin.extend(origin.iter().cloned());
        self
    }
}

impl Host {
    /// The encoded virtual host, by this name.
    fn encoded(&self, name: &str) -> BytesMut {
        let mut bytes = BytesMut::from(&field(NAME, name.as_bytes())[..]);
        for domain in &self.domains {
            bytes.extend_from_slice(&field(DOMAINS, domain.as_bytes()));
        }
        bytes.extend_from_slice(&self.rest.bytes);
        bytes
    }

    /// As a resource of its own, of a route configuration.
    pub(crate) fn apart(&self, route: &str, memo: &Memo) -> Arc<Resource> {
        let name = format!("{route}/{}", self.name);
        let key = (name.clone(), self.domains.clone(), Same(self.rest.clone()));
        memo.hosts.get_or(key, || {
            let bytes = self.encoded(&name);
            let origin = self.rest.origin.clone();
            Arc::new(Resource::new(type_url::VIRTUAL_HOST, name, &bytes, origin))
        })
    }

    /// Whether it stands for every host.
    pub(crate) fn is_everything(&self) -> bool {
        self.domains.iter().any(|domain| domain == "*")
    }
}

/// A route configuration with `hosts` before those that it has.
pub(crate) fn encoded<'a>(
    mut configuration: wire::RouteConfiguration,
    hosts: impl Iterator<Item = &'a Host>,
) -> Bytes {
    let name = std::mem::take(&mut configuration.name);
    let mut bytes = BytesMut::from(&field(ROUTE_NAME, name.as_bytes())[..]);
    for host in hosts {
        bytes.extend_from_slice(&field(VIRTUAL_HOSTS, &host.encoded(&host.name)));
    }
    bytes.extend_from_slice(&codec::encode_route(&configuration));
    bytes.freeze()
}
