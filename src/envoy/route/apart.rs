//! Virtual hosts as resources of their own (VHDS): each is called by its route configuration and
//! itself, `80/reviews.shop.svc.cluster.local:80`. A route configuration keeps inline what stands
//! for every host, and says that the others come apart; one that has no others is left whole, as a
//! proxy would wait for its virtual hosts for ever.

use std::sync::Arc;

use proto::envoy::config::route::v3 as wire;

use super::Made;
use super::fragment::Host;
use crate::Resource;
use crate::memo::Memo;
use crate::parts::ads;

/// Takes the virtual hosts that can go apart out of a route configuration.
pub(crate) fn split(made: &mut Made, memo: &Memo) -> Vec<Arc<Resource>> {
    let hosts = std::mem::take(&mut made.hosts);
    let (inline, apart): (Vec<_>, Vec<_>) = hosts.into_iter().partition(Host::is_everything);
    made.hosts = inline;
    if apart.is_empty() {
        return Vec::new();
    }
    made.configuration.vhds = Some(wire::Vhds {
        config_source: Some(ads()),
    });
    let of: Arc<str> = made.configuration.name.as_str().into();
    let resources = apart.iter().map(|host| host.apart(&of, memo)).collect();
    made.apart = apart;
    resources
}
