//! ServiceEntry: a service that Kubernetes does not know.

use crate::field::{Field, Findings};
use crate::port::{self, Protocol};
use crate::{host, selector, workload};

pub fn check(findings: &mut Findings, root: &Field) {
    let spec = root.get("spec");
    let resolution = match spec.get("resolution").text() {
        "" => "NONE",
        resolution => resolution,
    };
    selector::warn_if_empty(findings, &spec.get("workloadSelector"));
    for name in spec.get("hosts").items() {
        if let Err(message) = host::is_wildcard_domain(name.text()) {
            findings.error(&name, message);
        } else if resolution != "DYNAMIC_DNS" && host::is_partial_wildcard(name.text()) {
            findings.warning(
                &name,
                format!(
                    "{:?} has a wildcard for part of a label, expected *.domain",
                    name.text()
                ),
            );
        }
    }
    for address in spec.get("addresses").items() {
        if !host::is_range(address.text()) {
            findings.error(
                &address,
                format!("{:?} is neither an IP address nor a CIDR", address.text()),
            );
        }
    }
    let names = ports(findings, &spec);
    by_resolution(findings, root, &spec, resolution, &names);
    several_hosts(findings, &spec, resolution);
    host::export_to(findings, &spec.get("exportTo"), true);
}

fn ports<'a>(findings: &mut Findings, spec: &Field<'a>) -> Vec<&'a str> {
    let mut names = Vec::new();
    for entry in spec.get("ports").items() {
        let name = entry.get("name");
        port::name(findings, &name, name.text());
        port::number(findings, &entry.get("number"));
        port::protocol_name(findings, &entry.get("protocol"), false);
        if entry.get("targetPort").int() != 0 {
            port::number(findings, &entry.get("targetPort"));
        }
        names.push(name.text());
    }
    names
}

fn by_resolution(
    findings: &mut Findings,
    root: &Field,
    spec: &Field,
    resolution: &str,
    ports: &[&str],
) {
    let endpoints = spec.get("endpoints");
    match resolution {
        "NONE" if spec.has("workloadSelector") => {
            findings.warning(
                &spec.get("workloadSelector"),
                "has no effect with resolution NONE",
            );
        }
        "STATIC" => {
            for endpoint in endpoints.items() {
                workload::entry(findings, &endpoint, Some(ports), false);
            }
        }
        "DNS" | "DNS_ROUND_ROBIN" => {
            let wild = spec
                .get("hosts")
                .items()
                .find(|name| host::is_domain(name.text()).is_err());
            if let Some(name) = wild.filter(|_| endpoints.len() == 0) {
                let message = format!(
                    "{:?} cannot be resolved, expected a domain name, or endpoints, with resolution {resolution}",
                    name.text()
                );
                findings.error(&name, message);
            }
            for endpoint in endpoints.items() {
                resolved(findings, &endpoint, ports);
            }
        }
        "DYNAMIC_DNS" => dynamic(findings, root, spec),
        // The schema names what it may be.
        _ => {}
    }
}

fn resolved(findings: &mut Findings, endpoint: &Field, ports: &[&str]) {
    let address = endpoint.get("address");
    if !host::is_address(address.text()) && host::is_domain(address.text()).is_err() {
        findings.error(
            &address,
            format!(
                "{:?} is neither an IP address nor a domain name",
                address.text()
            ),
        );
    }
    selector::labels(findings, &endpoint.get("labels"));
    for (name, number) in endpoint.get("ports").entries() {
        if !ports.contains(&name) {
            findings.error(&number, format!("{name:?} is no port of the service entry"));
        }
        port::number(findings, &number);
    }
}

/// Hosts resolved by what each request asks for.
fn dynamic(findings: &mut Findings, root: &Field, spec: &Field) {
    for name in spec
        .get("hosts")
        .items()
        .filter(|name| !name.text().starts_with('*'))
    {
        findings.error(&name, "has no wildcard, as resolution DYNAMIC_DNS needs");
    }
    for name in ["addresses", "endpoints"] {
        if spec.get(name).len() > 0 {
            findings.error(
                &spec.get(name),
                "does not go with resolution DYNAMIC_DNS, which resolves the hosts asked for",
            );
        }
    }
    for entry in spec.get("ports").items() {
        let protocol = entry.get("protocol");
        let name = protocol.text().to_ascii_uppercase();
        if !["HTTP", "TLS", "GRPC", "HTTP2"].contains(&name.as_str()) {
            findings.error(&protocol, format!("{name:?} does not go with resolution DYNAMIC_DNS, expected HTTP, HTTP2, GRPC or TLS"));
        }
    }
    let waypoint = root
        .get("metadata")
        .get("labels")
        .entries()
        .find(|(name, _)| *name == "istio.io/use-waypoint");
    let waypoint = waypoint.is_some_and(|(_, name)| {
        !name.text().is_empty() && !name.text().eq_ignore_ascii_case("none")
    });
    if waypoint && spec.get("location").text() == "MESH_INTERNAL" {
        findings.error(
            &spec.get("location"),
            "is MESH_INTERNAL, which resolution DYNAMIC_DNS does not support with a waypoint",
        );
    }
}

fn several_hosts(findings: &mut Findings, spec: &Field, resolution: &str) {
    let hosts = spec.get("hosts");
    if hosts.len() < 2 || resolution == "NONE" {
        return;
    }
    let opaque = |entry: &Field| {
        let protocol = port::protocol(entry.get("protocol").text());
        !matches!(protocol, Some(Protocol::Http | Protocol::Tls))
    };
    if let Some(entry) = spec.get("ports").items().find(opaque) {
        findings.error(
            &entry.get("protocol"),
            "tells no hosts apart, expected HTTP or TLS where there are several hosts",
        );
    }
}
