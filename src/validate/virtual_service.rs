//! VirtualService: its hosts and gateways, its TLS and TCP rules, and where all rules lead.

use crate::field::{Field, Findings};
use crate::{header, host, http_route, port, selector, unreachable};

const MESH: &str = "mesh";

pub fn check(findings: &mut Findings, root: &Field) {
    let spec = root.get("spec");
    let delegate = spec.get("hosts").len() == 0;
    if delegate {
        for name in ["gateways", "tls", "tcp"] {
            if spec.get(name).len() > 0 {
                findings.error(
                    &spec.get(name),
                    "does not go with a VirtualService without hosts, which others delegate to",
                );
            }
        }
    }
    let names: Vec<&str> = spec
        .get("gateways")
        .items()
        .map(|gateway| gateway.text())
        .collect();
    let for_gateways_only = !names.is_empty() && !names.contains(&MESH);
    gateways(findings, &spec.get("gateways"));
    if !for_gateways_only {
        no_claims(findings, &spec);
    }
    hosts(findings, &spec, for_gateways_only);
    if spec
        .which(&["http", "tls", "tcp"])
        .iter()
        .all(|name| spec.get(name).len() == 0)
    {
        findings.missing(&spec.get("http"), "is required, or tls or tcp");
    }
    for route in spec.get("http").items() {
        http_route::check(findings, &route, delegate);
    }
    for route in spec.get("tls").items() {
        tls(findings, &route, &spec, for_gateways_only);
    }
    for route in spec.get("tcp").items() {
        for entry in route.get("match").items() {
            connection(findings, &entry);
        }
        opaque(findings, &route);
    }
    host::export_to(findings, &spec.get("exportTo"), false);
    for kind in ["http", "tcp", "tls"] {
        unreachable::check(findings, &spec.get(kind), kind == "http");
    }
}

/// Names of gateways: `mesh`, `name`, `namespace/name`, or `name.namespace.svc…` as it was once.
pub fn gateways(findings: &mut Findings, gateways: &Field) {
    for gateway in gateways.items() {
        let text = gateway.text();
        match text.split_once('/') {
            Some((namespace, name)) if host::is_label(namespace) && host::is_label(name) => {}
            Some(_) => findings.error(
                &gateway,
                format!("{text:?} is no gateway, expected name or namespace/name"),
            ),
            None => {
                if let Err(message) = host::is_domain(text) {
                    findings.error(&gateway, message);
                } else if let Some((name, rest)) = text.split_once('.') {
                    let namespace = rest.split('.').next().unwrap_or_default();
                    findings.warning(
                        &gateway,
                        format!("{text:?} is an old form, use {namespace}/{name}"),
                    );
                }
            }
        }
    }
}

/// Claims are known where tokens are checked before routing: at gateways.
fn no_claims(findings: &mut Findings, spec: &Field) {
    for entry in spec
        .get("http")
        .items()
        .flat_map(|route| route.get("match").items())
    {
        for name in ["headers", "withoutHeaders"] {
            let mut headers = entry.get(name).entries();
            if let Some((_, field)) = headers.find(|(name, _)| header::is_claim(name)) {
                findings.error(
                    &field,
                    "routes by a claim, which gateways can and sidecars cannot",
                );
            }
        }
    }
}

fn hosts(findings: &mut Findings, spec: &Field, for_gateways_only: bool) {
    let mut seen: Vec<&str> = Vec::new();
    for name in spec.get("hosts").items() {
        let text = name.text();
        let passed_on = for_gateways_only && text.starts_with("outbound_.") && has_sni(spec);
        if let Err(message) = host::is_wildcard_domain(text)
            && !host::is_address(text)
            && !passed_on
        {
            findings.error(&name, message);
        } else if text == "*" && !for_gateways_only {
            findings.error(&name, "is *, which only gateways can serve");
        } else if let Some(earlier) = seen.iter().find(|earlier| host::overlap(earlier, text)) {
            findings.error(
                &name,
                format!("{text:?} overlaps with {earlier:?}, expected each host once"),
            );
        }
        seen.push(text);
    }
}

fn has_sni(spec: &Field) -> bool {
    let matches = spec
        .get("tls")
        .items()
        .flat_map(|route| route.get("match").items());
    matches
        .into_iter()
        .any(|entry| entry.get("sniHosts").len() > 0)
}

fn tls(findings: &mut Findings, route: &Field, spec: &Field, for_gateways_only: bool) {
    if route.get("match").len() == 0 {
        findings.missing(&route.get("match"), "is required");
    }
    for entry in route.get("match").items() {
        let names = entry.get("sniHosts");
        if names.len() == 0 {
            findings.missing(&names, "is required");
        }
        for name in names.items() {
            server_name(findings, &name, spec, for_gateways_only);
        }
        connection(findings, &entry);
    }
    opaque(findings, route);
}

fn server_name(findings: &mut Findings, name: &Field, spec: &Field, for_gateways_only: bool) {
    let text = name.text();
    if for_gateways_only && text.starts_with("outbound_.") {
        return;
    }
    if let Err(message) = host::is_wildcard_domain(text) {
        match host::is_address(text) {
            true => findings.warning(
                name,
                "is an address, which TLS does not allow as a server name",
            ),
            false => findings.error(name, message),
        }
        return;
    }
    let hosts = spec.get("hosts");
    if !hosts.items().any(|host| host::covers(host.text(), text)) {
        findings.error(
            name,
            format!("{text:?} is none of the hosts of this VirtualService"),
        );
    }
}

/// What a match says about a connection.
fn connection(findings: &mut Findings, entry: &Field) {
    for subnet in entry.get("destinationSubnets").items() {
        if !host::is_range(subnet.text()) {
            findings.error(
                &subnet,
                format!("{:?} is neither an IP address nor a CIDR", subnet.text()),
            );
        }
    }
    if entry.get("port").int() != 0 {
        port::number(findings, &entry.get("port"));
    }
    selector::labels(findings, &entry.get("sourceLabels"));
    gateways(findings, &entry.get("gateways"));
}

fn opaque(findings: &mut Findings, route: &Field) {
    if route.get("route").len() == 0 {
        findings.missing(&route.get("route"), "is required");
    }
    weights(findings, &route.get("route"));
}

/// Weighted destinations of any protocol.
pub fn weights(findings: &mut Findings, destinations: &Field) {
    let mut sum = 0;
    for entry in destinations.items() {
        if !entry.has("destination") {
            findings.missing(&entry.get("destination"), "is required");
        }
        destination(findings, &entry.get("destination"));
        let weight = entry.get("weight");
        if weight.int() < 0 {
            findings.error(&weight, format!("is {}, expected 0 or more", weight.int()));
        }
        sum += weight.int();
    }
    if destinations.len() > 1 && sum == 0 {
        findings.error(destinations, "weights sum to 0, expected more");
    }
}

/// A host, a subset of it and a port.
pub fn destination(findings: &mut Findings, destination: &Field) {
    if !destination.is_set() {
        return;
    }
    let name = destination.get("host");
    if name.text() == "*" {
        findings.error(&name, "is *, expected a host");
    } else if let Err(message) = host::is_wildcard_domain(name.text()) {
        findings.error(&name, message);
    }
    let subset = destination.get("subset");
    if !subset.text().is_empty() && !host::is_label(subset.text()) {
        findings.error(
            &subset,
            format!(
                "{:?} is no subset name, expected a DNS label",
                subset.text()
            ),
        );
    }
    if destination.has("port") {
        port::number(findings, &destination.get("port").get("number"));
    }
}
