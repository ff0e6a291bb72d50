//! Virtual hosts as resources of their own (VHDS): each is called by its route configuration and
//! itself, `80/reviews.shop.svc.cluster.local:80`. A route configuration keeps inline what stands
//! for every host, and says that the others come apart; one that has no others is left whole, as a
//! proxy would wait for its virtual hosts for ever.

use std::sync::Arc;

use proto::codec::{self, type_url};
use proto::envoy::config::route::v3 as wire;

use super::Made;
use super::fragment::Host;
use crate::Resource;
use crate::memo::Memo;
use crate::parts::ads;

/// Takes the virtual hosts that can go apart out of a route configuration.
pub(crate) fn split(made: &mut Made, memo: &Memo) -> Vec<Arc<Resource>> {
    let of = made.configuration.name.clone();
    let shared = std::mem::take(&mut made.hosts);
    let (inline, shared): (Vec<_>, Vec<_>) = shared.into_iter().partition(Host::is_everything);
    made.hosts = inline;
    let own = std::mem::take(&mut made.configuration.virtual_hosts);
    let everything = |host: &wire::VirtualHost| host.domains.iter().any(|domain| domain == "*");
    let (inline, own): (Vec<_>, Vec<_>) = own.into_iter().partition(everything);
    made.configuration.virtual_hosts = inline;
    if shared.is_empty() && own.is_empty() {
        return Vec::new();
    }
    made.configuration.vhds = Some(wire::Vhds {
        config_source: Some(ads()),
    });
    let shared = shared.iter().map(|host| host.apart(&of, memo));
    let own = own.into_iter().map(|mut host| {
        host.name = format!("{of}/{}", host.name);
        let bytes = codec::encode_virtual_host(&host);
        // Blame beyond the names in it is that of the whole configuration.
        let origin = made.origin.clone();
        let resource = Resource::new(type_url::VIRTUAL_HOST, host.name, &bytes, origin);
        Arc::new(resource)
    });
    shared.chain(own).collect()
}
