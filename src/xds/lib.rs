//! The push engine: what each connected proxy is told, and when. Knows xDS, not Kubernetes:
//! resources arrive as values.

mod metrics;
mod node;
mod resources;
mod server;
pub mod session;

pub use metrics::Metrics;
pub use node::{InvalidNode, Node};
pub use resources::{Resource, Resources};
pub use server::{Access, Server};
