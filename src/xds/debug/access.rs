//! Who may ask what. As upstream: this host may ask anything, others prove who they are as on xDS; callers of the
//! system namespace may ask anything, others only what concerns proxies of their own namespace.

use std::net::IpAddr;

use super::Debug;
use super::endpoints::OF_OWN_NAMESPACE;

/// What a caller may hear.
#[derive(Debug, PartialEq)]
pub(super) enum Access {
    /// Everything.
    All,
    /// What concerns this namespace.
    Namespace(String),
    /// Nothing of this endpoint.
    Denied,
}

/// Whether a connection comes from this host.
pub(super) fn is_local(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// What a caller of `namespace` may hear of the endpoint `path`.
pub(super) fn of_namespace(debug: &Debug, namespace: &str, path: &str) -> Access {
    if namespace == debug.system_namespace {
        Access::All
    } else if OF_OWN_NAMESPACE.contains(&path) {
        Access::Namespace(namespace.to_owned())
    } else {
        Access::Denied
    }
}
