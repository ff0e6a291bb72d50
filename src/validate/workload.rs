//! WorkloadEntry, alone or within a ServiceEntry, and WorkloadGroup.

use crate::field::{Field, Findings};
use crate::{header, host, port, selector};

/// An endpoint. `service_ports` are the names of its ServiceEntry's ports; `domains` says whether a name may stand
/// for an address.
pub fn entry(
    findings: &mut Findings,
    entry: &Field,
    service_ports: Option<&[&str]>,
    domains: bool,
) {
    let address = entry.get("address");
    let text = address.text();
    if text.is_empty() {
        // Without a network the schema says what is missing.
        match entry.get("network").text() {
            "" => return,
            network => findings.warning(
                &address,
                format!("is not set, so a gateway of network {network:?} is called"),
            ),
        }
    } else if let Some(path) = text.strip_prefix("unix://") {
        host::socket(findings, &address, path);
        if service_ports.is_some_and(|ports| ports.len() != 1) {
            findings.error(
                &address,
                "is one socket, for which the service must have exactly one port",
            );
        }
    } else if !host::is_address(text) {
        match domains {
            false => findings.error(
                &address,
                format!("{text:?} is no IP address, as resolution STATIC needs"),
            ),
            true => {
                if host::is_domain(text).is_err() {
                    findings.error(
                        &address,
                        format!("{text:?} is neither an IP address nor a domain name"),
                    );
                }
            }
        }
    }
    for (name, number) in entry.get("ports").entries() {
        if service_ports.is_some_and(|ports| !ports.contains(&name)) {
            findings.error(&number, format!("{name:?} is no port of the service entry"));
        }
        port::name(findings, &number, name);
        port::number(findings, &number);
    }
    selector::labels(findings, &entry.get("labels"));
}

pub fn group(findings: &mut Findings, root: &Field) {
    let spec = root.get("spec");
    if !spec.has("template") {
        findings.missing(&spec.get("template"), "is required");
    }
    selector::labels(findings, &spec.get("metadata").get("labels"));
    let probe = spec.get("probe");
    if !probe.is_set() {
        return;
    }
    let counts = [
        "periodSeconds",
        "initialDelaySeconds",
        "timeoutSeconds",
        "successThreshold",
        "failureThreshold",
    ];
    for count in counts.map(|name| probe.get(name)) {
        if count.int() < 0 {
            findings.error(&count, format!("is {}, expected 0 or more", count.int()));
        }
    }
    match probe
        .which(&["httpGet", "tcpSocket", "exec", "grpc"])
        .as_slice()
    {
        ["httpGet"] => {
            let get = probe.get("httpGet");
            port::number(findings, &get.get("port"));
            for header in get.get("httpHeaders").items() {
                header::probe_name(findings, &header.get("name"));
            }
        }
        [other @ ("tcpSocket" | "grpc")] => port::number(findings, &probe.get(other).get("port")),
        ["exec"] => {
            let command = probe.get("exec").get("command");
            if command.len() == 0 {
                findings.missing(&command, "is required");
            }
        }
        _ => findings.error(
            &probe,
            "has no check, expected one of httpGet, tcpSocket, exec, grpc",
        ),
    }
}
