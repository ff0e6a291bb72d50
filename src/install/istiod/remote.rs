//! How an istiod that runs elsewhere is reached from this cluster: a Service without pods, and
//! the address behind it.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use base::labels::REVISION;
use base::names::port;

use super::Context;
use crate::Object;
use crate::labels::{metadata, of, with};
use crate::values::{some, some_of};

/// Names of the ports, and those of them that the Service has under another number.
const PORTS: [(&str, u16, u16); 2] = [
    ("tcp-istiod", port::XDS, port::XDS),
    ("tcp-webhook", 443, port::WEBHOOK),
];

/// Nothing unless the values name a remote address.
pub(super) fn build(context: Context<'_>) -> Vec<Object> {
    let address = &context.pilot.values.global.remote_pilot_address;
    if address.is_empty() || !context.pilot.values.istiod_remote.enabled {
        return Vec::new();
    }
    match address.parse::<IpAddr>() {
        Ok(ip) => vec![
            Object::of(&service(context, None)),
            Object::of(&endpoints(context, ip)),
        ],
        Err(_) => vec![Object::of(&service(context, Some(address.clone())))],
    }
}

impl Context<'_> {
    /// The Service of the remote istiod; a local one beside it has the plain name.
    fn remote_name(self) -> String {
        if self
            .pilot
            .values
            .istiod_remote
            .enabled_local_injector_istiod
        {
            format!("{}-remote", self.name())
        } else {
            self.name()
        }
    }
}

fn service(context: Context<'_>, external_name: Option<String>) -> Service {
    let global = &context.pilot.values.global;
    let labels = with(
        of("istiod", context.install),
        [(REVISION, context.install.revision_label())],
    );
    let ports = PORTS.map(|(name, port, target)| ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(port),
        target_port: (port != target).then(|| IntOrString::Int(i32::from(target))),
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    });
    Service {
        metadata: metadata(context.remote_name(), &context.pilot.namespace, labels),
        spec: Some(ServiceSpec {
            ports: Some(ports.to_vec()),
            type_: external_name.is_some().then(|| "ExternalName".to_owned()),
            external_name,
            ip_families: some_of(&global.ip_families),
            ip_family_policy: some(&global.ip_family_policy),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn endpoints(context: Context<'_>, address: IpAddr) -> EndpointSlice {
    let name = context.remote_name();
    let labels = with(
        of("istiod", context.install),
        [
            ("endpointslice.kubernetes.io/managed-by", "Helm"),
            ("kubernetes.io/service-name", &name),
        ],
    );
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    EndpointSlice {
        metadata: metadata(&name, &context.pilot.namespace, labels),
        address_type: family.to_owned(),
        endpoints: vec![Endpoint {
            addresses: vec![address.to_string()],
            ..Default::default()
        }],
        ports: Some(
            PORTS
                .map(|(name, _, target)| EndpointPort {
                    name: Some(name.to_owned()),
                    port: Some(i32::from(target)),
                    protocol: Some("TCP".to_owned()),
                    ..Default::default()
                })
                .to_vec(),
        ),
    }
}
