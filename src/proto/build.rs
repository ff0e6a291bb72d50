//! Generates message types and gRPC stubs from `envoy.fds` and a description of Istio's certificate service;
//! needs no protoc.
//!
//! Maps become `BTreeMap` so that equal messages have equal bytes; `Any.value` is `Bytes`, so that a
//! packed resource is shared rather than copied; names carry type URLs.

use std::error::Error;
use std::path::Path;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, ServiceDescriptorProto,
};

fn main() -> Result<(), Box<dyn Error>> {
    const DESCRIPTORS: &str = "envoy.fds";
    println!("cargo::rerun-if-changed={DESCRIPTORS}");
    println!("cargo::rerun-if-changed=build.rs");

    let out = std::env::var("OUT_DIR")?;
    let mut descriptors: FileDescriptorSet =
        prost::Message::decode(std::fs::read(DESCRIPTORS)?.as_slice())?;
    descriptors.file.push(certificate_service());

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

/// `istio.v1.auth.IstioCertificateService`: how workloads ask for certificates.
fn certificate_service() -> FileDescriptorProto {
    let field = |name: &str, number, kind: Type, label: Label| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        r#type: Some(kind.into()),
        label: Some(label.into()),
        ..Default::default()
    };
    let message = |name: &str, field| DescriptorProto {
        name: Some(name.to_owned()),
        field,
        ..Default::default()
    };
    let request = vec![
        field("csr", 1, Type::String, Label::Optional),
        field("validity_duration", 3, Type::Int64, Label::Optional),
        FieldDescriptorProto {
            type_name: Some(".google.protobuf.Struct".to_owned()),
            ..field("metadata", 4, Type::Message, Label::Optional)
        },
    ];
    let response = vec![field("cert_chain", 1, Type::String, Label::Repeated)];
    FileDescriptorProto {
        name: Some("security/v1alpha1/ca.proto".to_owned()),
        package: Some("istio.v1.auth".to_owned()),
        syntax: Some("proto3".to_owned()),
        dependency: vec!["google/protobuf/struct.proto".to_owned()],
        message_type: vec![
            message("IstioCertificateRequest", request),
            message("IstioCertificateResponse", response),
        ],
        service: vec![ServiceDescriptorProto {
            name: Some("IstioCertificateService".to_owned()),
            method: vec![MethodDescriptorProto {
                name: Some("CreateCertificate".to_owned()),
                input_type: Some(".istio.v1.auth.IstioCertificateRequest".to_owned()),
                output_type: Some(".istio.v1.auth.IstioCertificateResponse".to_owned()),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}
