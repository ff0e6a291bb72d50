//! The properties of the generated code that the rest relies on.

use std::collections::BTreeMap;

use prost::Name;

use super::{decode_cluster, encode_cluster, type_url};
use crate::envoy::config::cluster::v3::Cluster;
use crate::envoy::config::core::v3::{Metadata, TypedExtensionConfig};
use crate::envoy::config::endpoint::v3::ClusterLoadAssignment;
use crate::envoy::config::listener::v3::Listener;
use crate::envoy::config::route::v3::RouteConfiguration;
use crate::envoy::extensions::transport_sockets::tls::v3::Secret;
use crate::google::protobuf::{Struct, Value, value::Kind};

fn cluster_with(keys: impl Iterator<Item = u32>) -> Cluster {
    let fields: BTreeMap<String, Value> = keys
        .map(|key| {
            let kind = Some(Kind::NumberValue(f64::from(key)));
            (format!("key-{key}"), Value { kind })
        })
        .collect();
    Cluster {
        name: "outbound|80||reviews".into(),
        metadata: Some(Metadata {
            filter_metadata: BTreeMap::from([("istio".into(), Struct { fields })]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn equal_messages_have_equal_bytes_whatever_the_order_of_insertion() {
    let ascending = encode_cluster(&cluster_with(0..64));
    let descending = encode_cluster(&cluster_with((0..64).rev()));
    assert_eq!(ascending, descending);
}

#[test]
fn decodes_what_it_encodes() {
    let cluster = cluster_with(0..3);
    assert_eq!(decode_cluster(&encode_cluster(&cluster)), Ok(cluster));
}

#[test]
fn malformed_bytes_name_the_message() {
    let error = decode_cluster(&[0xff, 0xff]).expect_err("these bytes are no cluster");
    assert!(
        error
            .to_string()
            .starts_with("not a valid envoy.config.cluster.v3.Cluster: "),
        "{error}"
    );
}

#[test]
fn type_urls_are_those_of_the_generated_messages() {
    assert_eq!(type_url::CLUSTER, Cluster::type_url());
    assert_eq!(type_url::ENDPOINT, ClusterLoadAssignment::type_url());
    assert_eq!(type_url::LISTENER, Listener::type_url());
    assert_eq!(type_url::ROUTE, RouteConfiguration::type_url());
    assert_eq!(type_url::SECRET, Secret::type_url());
    assert_eq!(type_url::EXTENSION, TypedExtensionConfig::type_url());
}
