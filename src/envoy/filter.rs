//! Filters of connection managers and of connections, and Istio's own.

pub(crate) mod authorization;
pub(crate) mod claims;
pub(crate) mod dynamic;
pub(crate) mod ext_authz;
pub(crate) mod guards;
pub(crate) mod jwt;
pub(crate) mod order;
pub(crate) mod peer;
pub(crate) mod stats;
