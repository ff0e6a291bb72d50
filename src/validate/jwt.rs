//! RequestAuthentication: which tokens are taken, from where, and by which keys.

use api::security::key_set;
use serde_json::Value;

use crate::destination_rule::duration;
use crate::field::{Field, Findings};
use crate::selector;

/// Members of a key that only its owner may know (RFC 7518 §6).
const PRIVATE: [&str; 2] = ["d", "k"];

pub fn check(findings: &mut Findings, root: &Field) {
    let spec = root.get("spec");
    selector::check(findings, &spec);
    for rule in spec.get("jwtRules").items() {
        issuer(findings, &rule);
        for list in ["audiences", "fromParams", "fromCookies"] {
            for item in rule.get(list).items().filter(|item| item.text().is_empty()) {
                findings.error(&item, "is empty");
            }
        }
        for location in rule.get("fromHeaders").items() {
            if location.get("name").text().is_empty() {
                findings.missing(&location.get("name"), "is required");
            }
        }
        for claim in rule.get("outputClaimToHeaders").items() {
            output(findings, &claim);
        }
        duration(findings, &rule.get("timeout"));
    }
}

fn issuer(findings: &mut Findings, rule: &Field) {
    let uri = ["jwksUri", "jwks_uri"]
        .map(|name| rule.get(name))
        .into_iter()
        .find(|uri| !uri.text().is_empty());
    if rule.get("issuer").text().is_empty() && uri.is_none() {
        findings.missing(&rule.get("issuer"), "is required, or jwksUri");
    }
    if let Some(uri) = uri
        && !has_port(uri.text())
    {
        findings.error(&uri, format!("{:?} has no valid port", uri.text()));
    }
    let keys = rule.get("jwks");
    if !keys.text().is_empty() {
        key_set(findings, &keys);
    }
}

/// Whether the port of a URL, where it has one, is a number.
fn has_port(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port.is_empty() || port.parse::<u16>().is_ok(),
        _ => true,
    }
}

fn key_set(findings: &mut Findings, field: &Field) {
    let Ok(set) = serde_json::from_str::<Value>(field.text()) else {
        findings.error(field, "is not JSON, expected a JSON Web Key Set");
        return;
    };
    let alone = [set.clone()];
    let keys = match set.get("keys").and_then(Value::as_array) {
        Some(keys) => keys.as_slice(),
        None if set.get("kty").is_some() => &alone,
        None => {
            findings.error(field, "has no keys, expected a JSON Web Key Set");
            return;
        }
    };
    let mut form = true;
    for (place, key) in keys.iter().enumerate() {
        let needed: &[&str] = match key["kty"].as_str() {
            Some("RSA") => &["n", "e"],
            Some("EC") => &["crv", "x", "y"],
            Some("OKP") => &["crv", "x"],
            Some("oct") => &["k"],
            kind => {
                let kind = kind.unwrap_or("none");
                form = false;
                findings.error(
                    field,
                    format!("key {place} is of kind {kind}, expected RSA, EC, OKP or oct"),
                );
                continue;
            }
        };
        if let Some(lacks) = needed.iter().find(|name| !key[**name].is_string()) {
            form = false;
            findings.error(field, format!("key {place} lacks its member {lacks}"));
        } else if PRIVATE.iter().any(|name| key.get(name).is_some()) {
            findings.warning(
                field,
                format!("key {place} is private, and only its public part is needed"),
            );
        }
    }
    if let (true, Err(reason)) = (form, key_set::check(field.text())) {
        findings.warning(field, format!("{reason}; no token of this issuer is good"));
    }
}

fn output(findings: &mut Findings, output: &Field) {
    for name in ["header", "claim"] {
        if output.get(name).text().is_empty() {
            findings.missing(&output.get(name), "is required");
        }
    }
    let header = output.get("header");
    let right = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !header.text().chars().all(right) {
        findings.error(
            &header,
            format!(
                "{:?} is no header name, expected letters, digits, - and _",
                header.text()
            ),
        );
    }
}
