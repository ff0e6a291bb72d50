//! Gateways without pods, on ports that no Service has, and two for one host and port.

use serde_json::Value;

use crate::credentials::no_workload;
use crate::message::{CONFLICTING_GATEWAYS, NOT_FOUND, PORT_NOT_ON_SERVICE};
use crate::world::{Object, Report, World, items, labels, printed, selects, texts};

pub fn check(world: &World, report: &mut Report) {
    for gateway in world.networking("Gateway") {
        ports(world, report, gateway);
        conflicts(world, report, gateway);
    }
}

fn ports(world: &World, report: &mut Report, gateway: &Object) {
    let selector = &gateway.spec()["selector"];
    let mut pods = world
        .core("Pod")
        .iter()
        .filter(|pod| selects(selector, labels(pod)))
        .peekable();
    if pods.peek().is_none() {
        report.add(NOT_FOUND, gateway, no_workload(selector));
        return;
    }
    let mut served: Vec<i64> = Vec::new();
    for pod in pods {
        for service in world.core("Service") {
            if service.namespace == pod.namespace
                && selects(&service.spec()["selector"], labels(pod))
            {
                served.extend(items(&service.spec()["ports"]).flat_map(reached));
            }
        }
    }
    for server in items(&gateway.spec()["servers"]) {
        let Some(number) = server["port"]["number"].as_i64() else {
            continue;
        };
        if !served.contains(&number) {
            let text = format!(
                "port {number} is on no Service of pods {:?}",
                printed(selector)
            );
            report.add(PORT_NOT_ON_SERVICE, gateway, text);
        }
    }
}

/// Numbers by which a TCP port of a Service is meant in a Gateway: its own and its target's.
fn reached(port: &Value) -> Vec<i64> {
    if port["protocol"]
        .as_str()
        .is_some_and(|protocol| protocol != "TCP")
    {
        return Vec::new();
    }
    let own = port["port"].as_i64();
    own.into_iter().chain(port["targetPort"].as_i64()).collect()
}

fn conflicts(world: &World, report: &mut Report, gateway: &Object) {
    let selector = &gateway.spec()["selector"];
    for server in items(&gateway.spec()["servers"]) {
        let rivals = world.networking("Gateway").iter().filter(|other| {
            let same = other.namespace == gateway.namespace && other.name == gateway.name;
            !same
                && share_pods(world, selector, &other.spec()["selector"])
                && serves_too(other, server)
        });
        let mut rivals: Vec<String> = rivals.map(Object::full_name).collect();
        rivals.sort();
        if !rivals.is_empty() {
            let hosts: Vec<&str> = texts(&server["hosts"]).collect();
            let (rivals, hosts) = (rivals.join(", "), hosts.join(", "));
            let port = &server["port"]["number"];
            let text = format!(
                "serves hosts {hosts} on port {port} as gateway {rivals} does for the same pods"
            );
            report.add(CONFLICTING_GATEWAYS, gateway, text);
        }
    }
}

/// Whether two selectors are equal, or one of them narrows the other and some pod has both.
fn share_pods(world: &World, one: &Value, other: &Value) -> bool {
    if printed(one) == printed(other) {
        return true;
    }
    let narrower = selects(one, other) || selects(other, one);
    let mut pods = world.core("Pod").iter();
    narrower && pods.any(|pod| selects(one, labels(pod)) && selects(other, labels(pod)))
}

fn serves_too(gateway: &Object, server: &Value) -> bool {
    let bind = |server: &Value| server["bind"].as_str().unwrap_or_default().to_owned();
    items(&gateway.spec()["servers"]).any(|other| {
        let same_port = !server["port"]["number"].is_null()
            && other["port"]["number"] == server["port"]["number"];
        let shared =
            texts(&other["hosts"]).any(|host| texts(&server["hosts"]).any(|own| own == host));
        same_port && shared && bind(other) == bind(server)
    })
}
