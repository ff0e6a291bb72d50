//! Deployments that several Services see differently, and workloads that run as the proxy's user.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::message::{CONFLICTING_PORTS, PROXY_USER, SEVERAL_PROTOCOLS};
use crate::world::{Object, PROXY, Report, World, in_mesh, is_control_plane, items, selects};

/// The user whose traffic is never captured.
const USER: i64 = 1337;
const WAYPOINT: &str = "istio.io-mesh-controller";

pub fn check(world: &World, report: &mut Report) {
    for deployment in world.all("apps", "Deployment") {
        let template = &deployment.spec()["template"];
        let waypoint = deployment.label("gateway.istio.io/managed") == Some(WAYPOINT);
        if !waypoint
            && in_mesh(
                world,
                deployment.namespace,
                &template["metadata"],
                &template["spec"],
            )
        {
            ports(world, report, deployment);
        }
        user(report, deployment, &template["spec"]);
    }
    for pod in world.core("Pod") {
        user(report, pod, pod.spec());
    }
}

fn ports(world: &World, report: &mut Report, deployment: &Object) {
    let labels = &deployment.spec()["template"]["metadata"]["labels"];
    let mut protocols: BTreeMap<i64, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    let mut targets: BTreeMap<String, BTreeMap<i64, &str>> = BTreeMap::new();
    for service in world.core("Service") {
        let selector = &service.spec()["selector"];
        let has_any = selector
            .as_object()
            .is_some_and(|selector| !selector.is_empty());
        if !has_any || service.namespace != deployment.namespace || !selects(selector, labels) {
            continue;
        }
        for port in items(&service.spec()["ports"]) {
            let number = port["port"].as_i64().unwrap_or_default();
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            protocols
                .entry(number)
                .or_default()
                .entry(protocol)
                .or_default()
                .push(service.name);
            let target = match &port["targetPort"] {
                Value::String(name) => name.clone(),
                Value::Number(target) if target.as_i64() != Some(0) => target.to_string(),
                _ => number.to_string(),
            };
            targets
                .entry(target)
                .or_default()
                .insert(number, service.name);
        }
    }
    for (number, by_protocol) in protocols
        .iter()
        .filter(|(_, by_protocol)| by_protocol.len() > 1)
    {
        let services: BTreeSet<&str> = by_protocol.values().flatten().copied().collect();
        let services: Vec<&str> = services.into_iter().collect();
        let text = format!(
            "services {} give port {number} different protocols",
            services.join(", ")
        );
        report.add(SEVERAL_PROTOCOLS, deployment, text);
    }
    for (target, by_port) in targets.iter().filter(|(_, by_port)| by_port.len() > 1) {
        let ports: Vec<String> = by_port.keys().map(i64::to_string).collect();
        let services: BTreeSet<&str> = by_port.values().copied().collect();
        let services: Vec<&str> = services.into_iter().collect();
        let text = format!(
            "services {} lead to target port {target} from ports {}",
            services.join(", "),
            ports.join(", ")
        );
        report.add(CONFLICTING_PORTS, deployment, text);
    }
}

fn user(report: &mut Report, object: &Object, pod: &Value) {
    if is_control_plane(object) {
        return;
    }
    let runs = |context: &Value| context["runAsUser"].as_i64() == Some(USER);
    let own =
        |container: &Value| container["name"] == PROXY || container["name"] == "istio-operator";
    let containers = items(&pod["containers"]).filter(|container| !own(container));
    if runs(&pod["securityContext"])
        || containers
            .into_iter()
            .any(|container| runs(&container["securityContext"]))
    {
        report.add(
            PROXY_USER,
            object,
            format!("runs as user {USER}, which is the proxy's: its traffic is not captured"),
        );
    }
}
