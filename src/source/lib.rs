//! Where configuration comes from: objects of Kubernetes or of files become changes, and the store, the one
//! writer, turns changes into snapshots and endpoint tables. Knows nothing of Envoy or of proxies.

mod change;
pub mod files;
pub mod jwks;
pub mod kube;
mod roster;
pub mod store;
mod written;

pub use change::{Change, MeshMap};
pub use written::Texts;
