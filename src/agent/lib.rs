//! The program beside each Envoy: writes its bootstrap, starts and ends it, passes its
//! configuration stream through to the control plane, and answers for its readiness.
//! It never reads what the control plane says.

pub mod admin;
pub mod ads;
pub mod arguments;
mod body;
pub mod config;
pub mod control_plane;
pub mod drain;
pub mod envoy;
pub mod health;
pub mod logging;
pub mod metrics;
pub mod node;
pub mod proxy;
pub mod readiness;
pub mod request;
pub mod resident;
pub mod wait;
