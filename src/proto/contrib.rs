//! Messages that Istio's own filters and its agent read and that `envoy.fds` does not have: kept
//! by hand, since they are few and small. Descriptors of the same stand in [`descriptors`].

use std::collections::BTreeMap;

use prost::Name;
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, MessageOptions,
    field_descriptor_proto::{Label, Type},
};

use crate::google::protobuf::{Duration, Struct};

/// A configuration by the name of its type, for readers that know it and writers that do not.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TypedStruct {
    /// The type.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The fields.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Struct>,
}

/// The mesh's metrics.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatsConfig {
    /// The Host header, which a stranger may have written, does not name the destination.
    #[prost(bool, tag = "6")]
    pub disable_host_header_fallback: bool,
    /// How often open connections are reported.
    #[prost(message, optional, tag = "7")]
    pub tcp_reporting_duration: Option<Duration>,
    /// What is otherwise than usual.
    #[prost(message, repeated, tag = "8")]
    pub metrics: Vec<MetricConfig>,
}

/// What is otherwise with one metric.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricConfig {
    /// Labels with the expressions of their values.
    #[prost(btree_map = "string, string", tag = "1")]
    pub dimensions: BTreeMap<String, String>,
    /// The metric.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Labels that it does not have.
    #[prost(string, repeated, tag = "3")]
    pub tags_to_remove: Vec<String>,
    /// Whether it is not kept.
    #[prost(bool, tag = "5")]
    pub drop: bool,
}

/// Which ALPN an upstream connection offers, by the protocol of the request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AlpnConfig {
    /// One entry per protocol.
    #[prost(message, repeated, tag = "1")]
    pub alpn_override: Vec<AlpnOverride>,
}

/// The ALPN of one protocol.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AlpnOverride {
    /// 0 is HTTP/1.0, 1 HTTP/1.1, 2 HTTP/2.
    #[prost(enumeration = "AlpnProtocol", tag = "1")]
    pub upstream_protocol: i32,
    /// What is offered.
    #[prost(string, repeated, tag = "2")]
    pub alpn_override: Vec<String>,
}

/// Protocol of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum AlpnProtocol {
    /// HTTP/1.0.
    Http10 = 0,
    /// HTTP/1.1.
    Http11 = 1,
    /// HTTP/2.
    Http2 = 2,
}

/// Names that the agent's DNS proxy answers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NameTable {
    /// By host name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub table: BTreeMap<String, NameInfo>,
}

/// The addresses of a name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NameInfo {
    /// IP addresses.
    #[prost(string, repeated, tag = "1")]
    pub ips: Vec<String>,
    /// `Kubernetes` or `External`.
    #[prost(string, tag = "2")]
    pub registry: String,
    /// Name of the Kubernetes Service.
    #[prost(string, tag = "3")]
    pub shortname: String,
    /// Its namespace.
    #[prost(string, tag = "4")]
    pub namespace: String,
}

macro_rules! named {
    ($($message:ty, $package:literal, $name:literal;)*) => {$(
        impl Name for $message {
            const NAME: &'static str = $name;
            const PACKAGE: &'static str = $package;

            fn full_name() -> String {
                concat!($package, ".", $name).to_owned()
            }

            fn type_url() -> String {
                concat!("type.googleapis.com/", $package, ".", $name).to_owned()
            }
        }
    )*};
}

named! {
    TypedStruct, "udpa.type.v1", "TypedStruct";
    StatsConfig, "stats", "PluginConfig";
    AlpnConfig, "istio.envoy.config.filter.http.alpn.v2alpha1", "FilterConfig";
    NameTable, "istio.networking.nds.v1", "NameTable";
}

fn field(name: &str, number: i32, kind: Type) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        r#type: Some(kind as i32),
        label: Some(Label::Optional as i32),
        ..Default::default()
    }
}

fn of(kind: &str, field: FieldDescriptorProto) -> FieldDescriptorProto {
    FieldDescriptorProto {
        type_name: Some(kind.to_owned()),
        ..field
    }
}

fn repeated(field: FieldDescriptorProto) -> FieldDescriptorProto {
    FieldDescriptorProto {
        label: Some(Label::Repeated as i32),
        ..field
    }
}

fn message(name: &str, field: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto {
        name: Some(name.to_owned()),
        field,
        ..Default::default()
    }
}

fn file(package: &str, messages: Vec<DescriptorProto>) -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(format!("{package}.proto")),
        package: Some(package.to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: messages,
        ..Default::default()
    }
}

/// The entries of a map with texts as keys.
fn map_entry(name: &str, value: FieldDescriptorProto) -> DescriptorProto {
    let mut entry = message(name, vec![field("key", 1, Type::String), value]);
    entry.options = Some(MessageOptions {
        map_entry: Some(true),
        ..Default::default()
    });
    entry
}

fn stats() -> FileDescriptorProto {
    let entries = of(
        ".stats.MetricConfig.DimensionsEntry",
        field("dimensions", 1, Type::Message),
    );
    let mut metric = message(
        "MetricConfig",
        vec![
            repeated(entries),
            field("name", 2, Type::String),
            repeated(field("tags_to_remove", 3, Type::String)),
            field("drop", 5, Type::Bool),
        ],
    );
    let value = field("value", 2, Type::String);
    metric.nested_type.push(map_entry("DimensionsEntry", value));
    let interval = of(
        ".google.protobuf.Duration",
        field("tcp_reporting_duration", 7, Type::Message),
    );
    let metrics = of(".stats.MetricConfig", field("metrics", 8, Type::Message));
    let config = message(
        "PluginConfig",
        vec![
            field("disable_host_header_fallback", 6, Type::Bool),
            interval,
            repeated(metrics),
        ],
    );
    let mut stats = file("stats", vec![metric, config]);
    let duration = "google/protobuf/duration.proto".to_owned();
    stats.dependency.push(duration);
    stats
}

/// What these messages look like, for their JSON.
pub(crate) fn descriptors() -> Vec<FileDescriptorProto> {
    let any_struct = of(".google.protobuf.Struct", field("value", 2, Type::Message));
    let mut typed = file(
        "udpa.type.v1",
        vec![message(
            "TypedStruct",
            vec![field("type_url", 1, Type::String), any_struct],
        )],
    );
    typed
        .dependency
        .push("google/protobuf/struct.proto".to_owned());
    let stats = stats();

    let alpn = "istio.envoy.config.filter.http.alpn.v2alpha1";
    let path = |name: &str| format!(".{alpn}.FilterConfig.{name}");
    let overriding = of(
        &path("AlpnOverride"),
        field("alpn_override", 1, Type::Message),
    );
    let mut config = message("FilterConfig", vec![repeated(overriding)]);
    config.nested_type.push(message(
        "AlpnOverride",
        vec![
            of(&path("Protocol"), field("upstream_protocol", 1, Type::Enum)),
            repeated(field("alpn_override", 2, Type::String)),
        ],
    ));
    config.enum_type.push(EnumDescriptorProto {
        name: Some("Protocol".to_owned()),
        value: ["HTTP10", "HTTP11", "HTTP2"]
            .iter()
            .zip(0..)
            .map(|(name, number)| EnumValueDescriptorProto {
                name: Some((*name).to_owned()),
                number: Some(number),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });

    let nds = "istio.networking.nds.v1";
    let path = |name: &str| format!(".{nds}.NameTable.{name}");
    let entries = of(&path("TableEntry"), field("table", 1, Type::Message));
    let mut names = message("NameTable", vec![repeated(entries)]);
    let value = of(&path("NameInfo"), field("value", 2, Type::Message));
    let entry = map_entry("TableEntry", value);
    let info = message(
        "NameInfo",
        vec![
            repeated(field("ips", 1, Type::String)),
            field("registry", 2, Type::String),
            field("shortname", 3, Type::String),
            field("namespace", 4, Type::String),
        ],
    );
    names.nested_type.extend([entry, info]);
    vec![
        typed,
        stats,
        file(alpn, vec![config]),
        file(nds, vec![names]),
    ]
}
