//! Kinds of security.istio.io, as users write them.

pub mod peer_authentication;
