//! TLS settings of servers (Gateway, Sidecar) and of clients (DestinationRule).

use api::networking::gateway::CIPHERS;

use crate::field::{Field, Findings};

/// Where a server's certificate can come from.
const OWN: [&str; 4] = [
    "serverCertificate",
    "privateKey",
    "credentialName",
    "tlsCertificates",
];

/// `tls` of a server.
pub fn server(findings: &mut Findings, tls: &Field) {
    if !tls.is_set() {
        return;
    }
    versions(findings, tls);
    ciphers(findings, &tls.get("cipherSuites"));
    let mode = tls.get("mode").text();
    match mode {
        "ISTIO_MUTUAL" => {
            for name in OWN.iter().chain(&["caCertificates", "credentialNames"]) {
                if is_given(tls, name) {
                    findings.error(
                        &tls.get(name),
                        "does not go with mode ISTIO_MUTUAL, which uses the mesh's certificates",
                    );
                }
            }
            return;
        }
        "" | "PASSTHROUGH" | "AUTO_PASSTHROUGH" => {
            for name in OWN
                .iter()
                .chain(&["caCertificates", "credentialNames", "caCrl"])
            {
                if is_given(tls, name) {
                    let mode = if mode.is_empty() { "PASSTHROUGH" } else { mode };
                    findings.warning(&tls.get(name), format!("is ignored with mode {mode}"));
                }
            }
        }
        _ => {}
    }
    one_source(findings, tls);
    let by_name = is_given(tls, "credentialName") || is_given(tls, "credentialNames");
    let terminates = ["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"].contains(&mode);
    if terminates && by_name {
        return;
    }
    if terminates {
        files(findings, tls, mode);
    }
    let revoked = tls.get("caCrl");
    if is_given(tls, "caCrl") && is_given(tls, "credentialName") {
        findings.error(
            &revoked,
            "does not go with credentialName: the list belongs into the Secret",
        );
    } else if is_given(tls, "caCrl") && mode == "SIMPLE" {
        findings.error(
            &revoked,
            "does not go with mode SIMPLE, which asks clients for no certificate",
        );
    }
}

fn is_given(tls: &Field, name: &str) -> bool {
    let field = tls.get(name);
    !field.text().is_empty() || field.len() > 0
}

fn versions(findings: &mut Findings, tls: &Field) {
    let least = tls.get("minProtocolVersion");
    if ["TLSV1_0", "TLSV1_1"].contains(&least.text()) && tls.get("cipherSuites").len() == 0 {
        findings.warning(
            &least,
            "needs cipherSuites: the default ones do not work below TLSV1_2",
        );
    }
}

fn ciphers(findings: &mut Findings, suites: &Field) {
    let mut seen = Vec::new();
    for suite in suites.items() {
        let name = suite.text();
        let group =
            name.is_empty() || name == "ALL" || !name.starts_with(|c: char| c.is_alphanumeric());
        if !group && !CIPHERS.contains(&name) {
            findings.warning(
                &suite,
                format!(
                    "{name:?} is ignored, expected one of {}",
                    CIPHERS.join(", ")
                ),
            );
        } else if seen.contains(&name) {
            findings.warning(&suite, format!("{name:?} stands twice"));
        }
        seen.push(name);
    }
}

fn one_source(findings: &mut Findings, tls: &Field) {
    let files = is_given(tls, "serverCertificate") && is_given(tls, "privateKey");
    let sources = [
        ("serverCertificate", files),
        ("credentialName", is_given(tls, "credentialName")),
        ("credentialNames", is_given(tls, "credentialNames")),
        ("tlsCertificates", is_given(tls, "tlsCertificates")),
    ];
    let given: Vec<&str> = sources
        .iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| *name)
        .collect();
    if given.len() > 1 {
        findings.error(
            tls,
            format!("has {}, expected one of them", given.join(" and ")),
        );
    }
}

fn files(findings: &mut Findings, tls: &Field, mode: &str) {
    if mode != "SIMPLE" && !is_given(tls, "caCertificates") {
        findings.missing(
            &tls.get("caCertificates"),
            format!("is required with mode {mode}, or credentialName"),
        );
    }
    let pairs = tls.get("tlsCertificates");
    if pairs.len() > 2 {
        findings.warning(
            &pairs,
            "has more than two certificates, of which Envoy serves two",
        );
    }
    let pairs: Vec<Field> = match pairs.len() {
        0 => vec![tls.clone()],
        _ => pairs.items().collect(),
    };
    for pair in pairs {
        for name in ["serverCertificate", "privateKey"] {
            if pair.get(name).text().is_empty() {
                findings.missing(
                    &pair.get(name),
                    format!("is required with mode {mode}, or credentialName"),
                );
            }
        }
    }
}

/// `trafficPolicy.tls` of a DestinationRule.
pub fn client(findings: &mut Findings, tls: &Field) {
    let mode = tls.get("mode").text();
    let credential = tls.get("credentialName");
    if tls.get("insecureSkipVerify").flag() {
        let unused: &[&str] = match mode {
            "SIMPLE" => &["caCertificates", "credentialName", "subjectAltNames"],
            "MUTUAL" => &["caCertificates", "subjectAltNames"],
            _ => &[],
        };
        for name in unused.iter().filter(|name| is_given(tls, name)) {
            findings.error(
                &tls.get(name),
                "does not go with insecureSkipVerify, which checks nothing",
            );
        }
    }
    let by_name = !credential.text().is_empty() && ["SIMPLE", "MUTUAL"].contains(&mode);
    if by_name {
        config_map(findings, &credential);
        for name in ["clientCertificate", "caCertificates", "privateKey", "caCrl"] {
            if is_given(tls, name) {
                findings.error(&tls.get(name), "does not go with credentialName");
            }
        }
    } else if mode == "MUTUAL" {
        for name in ["clientCertificate", "privateKey"] {
            if !is_given(tls, name) {
                findings.missing(
                    &tls.get(name),
                    "is required with mode MUTUAL, or credentialName",
                );
            }
        }
    }
}

/// `configmap://namespace/name`: of the own namespace only.
fn config_map(findings: &mut Findings, credential: &Field) {
    let Some(name) = credential.text().strip_prefix("configmap://") else {
        return;
    };
    let own = findings.subject().namespace.clone().unwrap_or_default();
    match name.split_once('/') {
        Some((namespace, name)) if namespace == own && !name.is_empty() && !name.contains('/') => {}
        _ => findings.error(
            credential,
            format!(
                "{:?} is not a ConfigMap of the rule's own namespace, expected configmap://{own}/<name>",
                credential.text()
            ),
        ),
    }
}
