//! Names of Services' ports, by which Istio knows their protocols.

use serde_json::Value;

use crate::message::{EXTERNAL_NAME_PORT, PORT_NAME};
use crate::world::{Object, Report, World, is_control_plane, items};

/// Protocols that a name can begin with, or `appProtocol` can say.
const PROTOCOLS: [&str; 12] = [
    "tcp",
    "udp",
    "grpc",
    "grpc-web",
    "http",
    "http_proxy",
    "http2",
    "https",
    "tls",
    "mongo",
    "redis",
    "mysql",
];
/// `appProtocol`s of Kubernetes' own standard.
const STANDARD: [&str; 3] = ["kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"];
/// Ports whose protocol is well known without a name: Istio does not look into them.
const WELL_KNOWN: [i64; 4] = [25, 53, 3306, 27017];
/// Managers of Gateways' own Services.
const MANAGED: [&str; 3] = [
    "istio.io-gateway-controller",
    "istio.io-mesh-controller",
    "istio.io-eastwest-controller",
];

pub fn check(world: &World, report: &mut Report) {
    for service in world
        .core("Service")
        .iter()
        .filter(|service| !is_control_plane(service))
    {
        let managed = service.label("gateway.istio.io/managed");
        if managed.is_none_or(|by| !MANAGED.contains(&by)) {
            ports(report, service);
        }
    }
}

fn ports(report: &mut Report, service: &Object) {
    let external = service.spec()["type"] == "ExternalName";
    for port in items(&service.spec()["ports"]) {
        let name = port["name"].as_str().unwrap_or_default();
        if says_protocol(port, name) && !(external && name == "tcp") {
            continue;
        }
        let number = &port["port"];
        if external {
            let text = format!(
                "port {number} is named {name:?}; a service of type ExternalName needs a protocol such as http or tls"
            );
            report.add(EXTERNAL_NAME_PORT, service, text);
        } else {
            let text = format!(
                "port {number} is named {name:?}, which says no protocol; expected protocol or protocol-suffix, such as http-web, or appProtocol"
            );
            report.add(PORT_NAME, service, text);
        }
    }
}

fn says_protocol(port: &Value, name: &str) -> bool {
    if port["protocol"] == "UDP" {
        return true;
    }
    if let Some(application) = port["appProtocol"].as_str() {
        let lower = application.to_ascii_lowercase();
        return PROTOCOLS.contains(&lower.as_str()) || STANDARD.contains(&lower.as_str());
    }
    let lower = name.to_ascii_lowercase();
    let first = lower.split('-').next().unwrap_or_default();
    let web = lower == "grpc-web" || lower.starts_with("grpc-web-");
    let number = port["port"].as_i64().unwrap_or_default();
    web || PROTOCOLS.contains(&first) || WELL_KNOWN.contains(&number)
}
