//! The Service that clients of a gateway reach, and the NetworkPolicy of its pods.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Context;
use crate::Component;
use crate::labels::{metadata, with};
use crate::values::{Port, some, some_of, texts};

/// Readiness; merged metrics; Envoy's own metrics.
const STATUS: i32 = 15021;
const MERGED_METRICS: i32 = 15020;
const ENVOY_METRICS: i32 = 15090;

pub(super) fn build(context: Context<'_>) -> Service {
    let values = &context.gateway.values;
    let ports = values.ports.iter().map(service_port);
    let more = values.ingress_ports.iter().map(|port| ServicePort {
        name: port.name.clone(),
        port: port.port,
        ..Default::default()
    });
    Service {
        metadata: ObjectMeta {
            annotations: texts(&values.service_annotations),
            ..context.metadata()
        },
        spec: Some(ServiceSpec {
            type_: some(&values.type_),
            selector: Some(values.labels.clone()),
            ports: Some(ports.chain(more).collect()),
            load_balancer_ip: some(&values.load_balancer_ip),
            load_balancer_source_ranges: some_of(&values.load_balancer_source_ranges),
            external_traffic_policy: some(&values.external_traffic_policy),
            ip_families: some_of(&values.ip_families),
            ip_family_policy: some(&values.ip_family_policy),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn service_port(port: &Port) -> ServicePort {
    ServicePort {
        app_protocol: port.app_protocol.clone(),
        name: port.name.clone(),
        node_port: port.node_port,
        port: port.port,
        protocol: port.protocol.clone(),
        target_port: port.target_port.clone(),
    }
}

/// Lets traffic to the gateway's ports, its readiness and its metrics in; out is open, since
/// services and istiod may be anywhere.
pub(super) fn network_policy(context: Context<'_>) -> NetworkPolicy {
    let gateway = context.gateway;
    let kind = match gateway.component {
        Component::EgressGateways => "egressgateway",
        _ => "ingressgateway",
    };
    let labels = with(
        context.component_labels(),
        [("app", gateway.name.as_str()), ("istio", kind)],
    );
    let mut ingress = vec![
        allow([IntOrString::Int(STATUS)], "TCP"),
        allow(
            [
                IntOrString::Int(MERGED_METRICS),
                IntOrString::Int(ENVOY_METRICS),
            ],
            "TCP",
        ),
    ];
    ingress.extend(gateway.values.ports.iter().map(|port| {
        let target = port.target_port.clone();
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        allow([target.unwrap_or(IntOrString::Int(port.port))], protocol)
    }));
    NetworkPolicy {
        metadata: metadata(
            context.install.revisioned(&gateway.name),
            &gateway.namespace,
            labels,
        ),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(gateway.values.labels.clone()),
                ..Default::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(ingress),
            egress: Some(vec![NetworkPolicyEgressRule::default()]),
        }),
    }
}

fn allow<const N: usize>(ports: [IntOrString; N], protocol: &str) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        ports: Some(
            ports
                .into_iter()
                .map(|port| NetworkPolicyPort {
                    port: Some(port),
                    protocol: Some(protocol.to_owned()),
                    ..Default::default()
                })
                .collect(),
        ),
        ..Default::default()
    }
}
