//! Envoy's protobuf interface, generated at build time from `envoy.fds`, and the codec.
//!
//! All prost encoding and decoding stands behind the non-generic functions of [`codec`] and [`ads`], so that
//! crates above do not instantiate it again. Nothing here knows what a message means.

pub mod ads;
pub mod codec;

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

pub use generated::{envoy, google};
