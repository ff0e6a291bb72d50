//! Filters of connection managers, and Istio's own.

pub(crate) mod order;
pub(crate) mod peer;
