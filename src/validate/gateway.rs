//! Gateway: servers, their ports, hosts and TLS.

use crate::field::{Field, Findings};
use crate::port::{self, Protocol};
use crate::{host, tls};

pub fn check(findings: &mut Findings, root: &Field) {
    let name = root.get("metadata").get("name");
    if name.is_set() && !host::is_label(name.text()) {
        findings.error(
            &name,
            format!(
                "{:?} is no DNS label, as a Gateway's name must be",
                name.text()
            ),
        );
    }
    let servers = root.get("spec").get("servers");
    if servers.len() == 0 {
        findings.missing(&servers, "is empty, expected at least one server");
    }
    let mut names: Vec<&str> = Vec::new();
    for entry in servers.items() {
        server(findings, &entry);
        let name = entry.get("port").get("name");
        if names.contains(&name.text()) && name.is_set() {
            findings.error(
                &name,
                format!(
                    "{:?} names an earlier server's port, expected each once",
                    name.text()
                ),
            );
        }
        names.push(name.text());
    }
}

fn server(findings: &mut Findings, server: &Field) {
    let hosts = server.get("hosts");
    if hosts.len() == 0 {
        findings.missing(&hosts, "is empty, expected at least one host");
    }
    for host in hosts.items() {
        host::of_namespace(findings, &host, true);
    }
    let port = server.get("port");
    let bind = server.get("bind");
    if port.is_set() {
        listener(findings, &port, bind.text());
    } else {
        findings.missing(&port, "is required");
    }
    address(findings, &port, &bind);
    let settings = server.get("tls");
    tls::server(findings, &settings);
    fits(findings, &port, &settings);
}

fn listener(findings: &mut Findings, port: &Field, bind: &str) {
    port::protocol_name(findings, &port.get("protocol"), true);
    let number = port.get("number");
    if number.int() > 0 || !bind.starts_with("unix://") {
        port::number(findings, &number);
    }
    if port.get("targetPort").int() > 0 {
        findings.error(
            &port.get("targetPort"),
            "has no meaning for a Gateway: its Service maps ports",
        );
    }
    if port.get("name").text().is_empty() {
        findings.missing(&port.get("name"), "is required");
    }
}

fn address(findings: &mut Findings, port: &Field, bind: &Field) {
    match bind.text().strip_prefix("unix://") {
        Some(path) => {
            host::socket(findings, bind, path);
            if port.get("number").int() != 0 {
                findings.error(
                    &port.get("number"),
                    "must be 0 where bind is a unix:// address",
                );
            }
        }
        None if !bind.text().is_empty() && !host::is_address(bind.text()) => {
            findings.error(
                bind,
                format!("{:?} is neither an address nor unix://", bind.text()),
            );
        }
        None => {}
    }
}

/// Whether the TLS settings fit the port's protocol.
fn fits(findings: &mut Findings, port: &Field, tls: &Field) {
    let name = port.get("protocol").text();
    let Some(protocol) = port::protocol(name) else {
        return;
    };
    let redirect = tls.get("httpsRedirect");
    if redirect.flag() && protocol != Protocol::Http {
        findings.warning(&redirect, "has an effect on HTTP servers only");
    }
    match protocol {
        Protocol::Tls if !tls.is_set() => {
            findings.missing(tls, format!("is required for protocol {name}"));
        }
        Protocol::Http if tls.is_set() => {
            let passes = ["", "PASSTHROUGH", "AUTO_PASSTHROUGH"].contains(&tls.get("mode").text());
            let certificates = ["caCertificates", "privateKey", "serverCertificate"];
            let has_any = certificates
                .iter()
                .any(|name| !tls.get(name).text().is_empty());
            if !passes || has_any {
                findings.error(tls, format!("has a mode or certificates that protocol {name} cannot use, expected HTTPS or TLS as the protocol"));
            }
        }
        Protocol::Tcp if tls.is_set() => {
            findings.error(
                tls,
                format!("does not go with protocol {name}, expected HTTPS or TLS"),
            );
        }
        _ => {}
    }
}
