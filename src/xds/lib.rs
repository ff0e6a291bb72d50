//! The push engine: what each connected proxy is told, and when. Knows xDS, not Kubernetes:
//! the mesh and its endpoints arrive as values.

mod derivation;
mod metrics;
mod node;
mod proxy;
mod push;
mod resources;
mod server;
pub mod session;

pub use metrics::Metrics;
pub use node::{InvalidNode, Node};
pub use push::{Push, push};
pub use resources::{Resource, Resources, Table};
pub use server::{Access, Server};
