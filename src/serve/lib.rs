//! What every server of the control plane needs: listeners over TLS and plaintext, callers' identities,
//! readiness, metrics, logging, shutdown, and a Lease for work that one process at a time may do.
//! Knows nothing of what is served.

pub mod authenticate;
pub mod health;
pub mod http;
pub mod kubernetes;
pub mod leader;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod shutdown;
pub mod tls;

pub use shutdown::Shutdown;
