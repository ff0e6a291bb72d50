//! The push engine: what each connected proxy is told, and when. Knows xDS, not Kubernetes:
//! the mesh and its endpoints arrive as values.

mod assignment;
pub mod blame;
mod body;
pub mod debug;
mod derivation;
mod metrics;
mod node;
mod proxy;
mod push;
mod secrets;
mod server;
pub mod session;

pub use envoy::{Resource, Resources, Table};

pub use debug::{Ask, Connections, Debug, Refused, Written};
pub use metrics::Metrics;
pub use node::{InvalidNode, Node};
pub use push::{Push, push};

pub use server::{Access, Server};
