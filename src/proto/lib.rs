//! Envoy's protobuf interface, generated at build time from `envoy.fds`, and the codec.
//!
//! All prost encoding and decoding stands behind the non-generic functions of [`codec`], [`ads`] and [`certificates`], so that
//! crates above do not instantiate it again. Nothing here knows what a message means.

pub mod ads;
pub mod certificates;
pub mod codec;
pub mod contrib;
pub mod json;
pub mod pack;
pub mod unpack;
pub mod wire;
pub mod writer;

/// The generated packages: `proto::generated::envoy::config::cluster::v3::Cluster` and so on.
#[allow(
    clippy::all,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    deprecated,
    rustdoc::all
)]
pub mod generated {
    include!(concat!(env!("OUT_DIR"), "/envoy.rs"));
}

pub use generated::{envoy, google, istio, opentelemetry};
