//! Generates message types and gRPC stubs from `envoy.fds`; needs no protoc.
//!
//! Maps become `BTreeMap` so that equal messages have equal bytes; `Any.value` is `Bytes`, so that a
//! packed resource is shared rather than copied; names carry type URLs.

use std::error::Error;
use std::path::Path;

use prost_types::FileDescriptorSet;

fn main() -> Result<(), Box<dyn Error>> {
    const DESCRIPTORS: &str = "envoy.fds";
    println!("cargo::rerun-if-changed={DESCRIPTORS}");
    println!("cargo::rerun-if-changed=build.rs");

    let out = std::env::var("OUT_DIR")?;
    let descriptors: FileDescriptorSet =
        prost::Message::decode(std::fs::read(DESCRIPTORS)?.as_slice())?;

    let mut config = prost_build::Config::new();
    config
        .enable_type_names()
        .type_name_domain(["."], "type.googleapis.com")
        .btree_map(["."])
        .bytes([".google.protobuf.Any"])
        .compile_well_known_types()
        .include_file("envoy.rs");
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .out_dir(Path::new(&out))
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
