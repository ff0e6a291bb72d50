//! Sidecar: what a workload's proxy serves and may call.

use std::collections::BTreeMap;

use crate::destination_rule::connection_pool;
use crate::field::{Field, Findings};
use crate::port::{self, Protocol};
use crate::{host, selector, tls, virtual_service};

pub fn check(findings: &mut Findings, root: &Field) {
    let spec = root.get("spec");
    selector::warn_if_empty(findings, &spec.get("workloadSelector"));
    let (ingress, egress) = (spec.get("ingress"), spec.get("egress"));
    let others = spec.which(&["outboundTrafficPolicy", "inboundConnectionPool"]);
    if ingress.len() + egress.len() + others.len() == 0 {
        findings.missing(
            &spec,
            "is empty, expected ingress, egress, outboundTrafficPolicy or inboundConnectionPool",
        );
    }
    let mut ports = Vec::new();
    for listener in ingress.items() {
        serves(findings, &listener);
        once(findings, &listener.get("port").get("number"), &mut ports);
    }
    connection_pool(findings, &spec.get("inboundConnectionPool"));
    calls(findings, &egress);
    policy(findings, &spec.get("outboundTrafficPolicy"));
}

fn once(findings: &mut Findings, number: &Field, seen: &mut Vec<i64>) {
    if seen.contains(&number.int()) {
        findings.error(
            number,
            format!(
                "{} is an earlier listener's port, expected each once",
                number.int()
            ),
        );
    }
    seen.push(number.int());
}

fn serves(findings: &mut Findings, listener: &Field) {
    let port = listener.get("port");
    if !port.is_set() {
        findings.missing(&port, "is required");
        return;
    }
    listens(findings, &port, &listener.get("bind"));
    default_endpoint(findings, &listener.get("defaultEndpoint"));
    let protocol = port::protocol(port.get("protocol").text());
    let settings = listener.get("tls");
    if settings.is_set() {
        for name in [
            "subjectAltNames",
            "httpsRedirect",
            "credentialName",
            "credentialNames",
            "tlsCertificates",
        ] {
            let field = settings.get(name);
            if field.len() > 0 || field.flag() || !field.text().is_empty() {
                findings.error(&field, "is not supported by a sidecar");
            }
        }
        let mode = settings.get("mode");
        if ["ISTIO_MUTUAL", "AUTO_PASSTHROUGH"].contains(&mode.text()) {
            findings.error(
                &mode,
                format!(
                    "is {}, expected SIMPLE, MUTUAL or OPTIONAL_MUTUAL",
                    mode.text()
                ),
            );
        }
        if protocol != Some(Protocol::Tls) {
            findings.error(
                &settings,
                "does not go with this protocol, expected HTTPS or TLS",
            );
        }
        tls::server(findings, &settings);
    }
    let pool = listener.get("connectionPool");
    connection_pool(findings, &pool);
    if pool.has("http") && protocol != Some(Protocol::Http) {
        findings.warning(
            &pool.get("http"),
            "has no effect: the port's protocol is not HTTP",
        );
    }
}

fn listens(findings: &mut Findings, port: &Field, bind: &Field) {
    if !port.get("name").text().is_empty() {
        port::name(findings, &port.get("name"), port.get("name").text());
    }
    port::protocol_name(findings, &port.get("protocol"), false);
    port::number(findings, &port.get("number"));
    if port.get("targetPort").int() > 0 {
        findings.error(&port.get("targetPort"), "has no meaning for a Sidecar");
    }
    if !bind.text().is_empty() && !host::is_address(bind.text()) {
        findings.error(bind, format!("{:?} is no IP address", bind.text()));
    }
}

fn default_endpoint(findings: &mut Findings, endpoint: &Field) {
    let text = endpoint.text();
    if text.is_empty() {
        return;
    }
    if let Some(path) = text.strip_prefix("unix://") {
        host::socket(findings, endpoint, path);
        return;
    }
    let local = ["", "127.0.0.1", "0.0.0.0", "[::1]", "[::]"];
    let right = text.rsplit_once(':').is_some_and(|(address, port)| {
        local.contains(&address) && port.parse().is_ok_and(|port: u16| port > 0)
    });
    if !right {
        findings.error(endpoint, format!("is {text:?}, expected 127.0.0.1:port, 0.0.0.0:port, [::1]:port, [::]:port or unix:///path"));
    }
}

fn calls(findings: &mut Findings, egress: &Field) {
    let (mut ports, mut sockets) = (Vec::new(), Vec::new());
    let last = egress.len().saturating_sub(1);
    for (place, listener) in egress.items().enumerate() {
        let port = listener.get("port");
        let bind = listener.get("bind");
        if !port.is_set() {
            if place != last {
                findings.error(&listener, "has no port, as only the last listener may");
            }
        } else if port.get("number").int() == 0 {
            unix(findings, &listener);
            if sockets.contains(&bind.text()) {
                findings.error(
                    &bind,
                    format!(
                        "{:?} is an earlier listener's, expected each once",
                        bind.text()
                    ),
                );
            }
            sockets.push(bind.text());
        } else {
            listens(findings, &port, &bind);
            once(findings, &port.get("number"), &mut ports);
        }
        hosts(findings, &listener.get("hosts"));
    }
}

fn unix(findings: &mut Findings, listener: &Field) {
    let bind = listener.get("bind");
    match bind.text().strip_prefix("unix://") {
        Some(path) => host::socket(findings, &bind, path),
        None => findings.error(
            &bind,
            "is no unix:// address, as a listener without a port number needs",
        ),
    }
    let capture = listener.get("captureMode");
    if !["", "DEFAULT", "NONE"].contains(&capture.text()) {
        findings.error(
            &capture,
            format!(
                "is {}, expected DEFAULT or NONE with a unix:// address",
                capture.text()
            ),
        );
    }
    port::protocol_name(findings, &listener.get("port").get("protocol"), false);
}

fn hosts(findings: &mut Findings, hosts: &Field) {
    if hosts.len() == 0 {
        findings.missing(hosts, "is empty, expected at least one host");
    }
    let own = findings.subject().namespace.clone().unwrap_or_default();
    let mut seen: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for item in hosts.items() {
        host::of_namespace(findings, &item, false);
        let Some((namespace, name)) = item.text().split_once('/') else {
            continue;
        };
        if namespace.starts_with('~') {
            continue;
        }
        let namespace = if namespace == "." {
            own.as_str()
        } else {
            namespace
        };
        let names = seen.entry(namespace.to_owned()).or_default();
        if names.contains(&name) || names.contains(&"*") || (name == "*" && !names.is_empty()) {
            findings.warning(
                &item,
                format!("{:?} says again what another host says", item.text()),
            );
        }
        names.push(name);
    }
    let everything = seen.get("*").is_some_and(|names| names.contains(&"*"));
    if everything && seen.len() > 1 {
        findings.warning(hosts, "has */*, which takes in all others");
    }
}

fn policy(findings: &mut Findings, policy: &Field) {
    let mode = policy.get("mode").text();
    let proxy = policy.get("egressProxy");
    if mode == "ALLOW_ANY_DYNAMIC_DNS" {
        findings.error(
            &policy.get("mode"),
            "is ALLOW_ANY_DYNAMIC_DNS, which only the mesh configuration can have",
        );
    }
    if !proxy.is_set() {
        return;
    }
    if mode != "ALLOW_ANY" {
        findings.error(&proxy, "needs mode ALLOW_ANY");
    }
    if let Err(message) = host::is_domain(proxy.get("host").text()) {
        findings.error(&proxy.get("host"), message);
    }
    if !proxy.has("port") {
        findings.missing(&proxy.get("port"), "is required");
    }
    virtual_service::destination(findings, &proxy);
}
