//! The Service that reaches istiod, and the NetworkPolicy that lets it be reached.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use base::names::port;

use super::Context;
use crate::Object;
use crate::labels::{Labels, labels, metadata, with};
use crate::values::{some, some_of, texts};

/// The port that Services have for webhooks, since API servers call it when none is named.
const HTTPS: u16 = 443;
/// A port of old proxies that the policy still lets through.
const XDS_LEGACY: u16 = 15011;

/// The Service of the revision, and one for each of its tags.
pub(super) fn build(context: Context<'_>) -> Vec<Object> {
    let main = Object::of(&service(context, context.metadata(labels_of(context))));
    let tags = context.pilot.values.revision_tags.iter();
    let tagged = tags.map(|tag| tagged(context, tag));
    [main].into_iter().chain(tagged).collect()
}

/// The Service that reaches the revision by the name of a tag.
pub(super) fn tagged(context: Context<'_>, tag: &str) -> Object {
    let labels = with(labels_of(context), [("istio.io/tag", tag)]);
    let name = format!("istiod-revision-tag-{tag}");
    let metadata = metadata(name, &context.pilot.namespace, labels);
    Object::of(&service(context, metadata))
}

fn labels_of(context: Context<'_>) -> Labels {
    with(context.labels(), [("app", "istiod"), ("istio", "pilot")])
}

fn service(context: Context<'_>, metadata: ObjectMeta) -> Service {
    let values = &context.pilot.values;
    Service {
        metadata: ObjectMeta {
            annotations: texts(&values.service_annotations),
            ..metadata
        },
        spec: Some(ServiceSpec {
            ports: Some(vec![
                service_port("grpc-xds", port::XDS_PLAINTEXT, None),
                service_port("https-dns", port::XDS, None),
                service_port("https-webhook", HTTPS, Some(port::WEBHOOK)),
                service_port("http-monitoring", port::MONITORING, None),
            ]),
            selector: Some(context.pods()),
            ip_families: some_of(&values.ip_families),
            ip_family_policy: some(&values.ip_family_policy),
            traffic_distribution: some(&values.traffic_distribution),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Lets the API server in for webhooks and anyone for xDS and monitoring; out is open, since keys
/// of token issuers are fetched from wherever users say.
pub(super) fn network_policy(context: Context<'_>) -> NetworkPolicy {
    let labels = labels_of(context);
    let pods = self::labels([
        ("app", "istiod"),
        (base::labels::REVISION, context.install.revision_label()),
    ]);
    NetworkPolicy {
        metadata: context.metadata(labels),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(pods),
                ..Default::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![
                allow(&[port::WEBHOOK]),
                allow(&[
                    port::XDS_PLAINTEXT,
                    XDS_LEGACY,
                    port::XDS,
                    port::HTTP,
                    port::MONITORING,
                ]),
            ]),
            egress: Some(vec![NetworkPolicyEgressRule::default()]),
        }),
    }
}

/// A rule that lets TCP to these ports in, from anywhere.
fn allow(ports: &[u16]) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        ports: Some(
            ports
                .iter()
                .map(|port| NetworkPolicyPort {
                    port: Some(IntOrString::Int(i32::from(*port))),
                    protocol: Some("TCP".to_owned()),
                    ..Default::default()
                })
                .collect(),
        ),
        ..Default::default()
    }
}

fn service_port(name: &str, port: u16, target: Option<u16>) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(port),
        target_port: target.map(|port| IntOrString::Int(i32::from(port))),
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    }
}
