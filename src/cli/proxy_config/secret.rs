//! `proxy-config secret`: the certificates that Envoy holds, and whether they are valid now.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use pki::Certificate;
use serde_json::Value;

use super::dump::{Dump, entries};
use crate::table::Table;

/// One secret as it is shown.
#[derive(Debug, Default)]
struct Shown {
    name: String,
    state: &'static str,
    certificate: Option<Certificate>,
    /// Of a bundle of several trust domains, which the certificate does not say.
    trust_domain: Option<String>,
}

/// As a table.
pub(super) fn table(dump: &Dump, now: Timestamp, with_names: bool) -> Result<String, String> {
    let part = dump.part("SecretsConfigDump")?;
    let mut all = Vec::new();
    for (key, state) in [
        ("dynamicWarmingSecrets", "WARMING"),
        ("dynamicActiveSecrets", "ACTIVE"),
    ] {
        for entry in entries(part, key) {
            all.extend(shown(entry, state));
        }
    }
    if all.is_empty() {
        return Ok("No active or warming secrets found.\n".to_owned());
    }
    let domains = all
        .iter()
        .map(trust_domain)
        .collect::<Option<Vec<String>>>();
    let mut header = vec![
        "RESOURCE NAME",
        "TYPE",
        "STATUS",
        "VALID CERT",
        "SERIAL NUMBER",
        "NOT AFTER",
        "NOT BEFORE",
    ];
    if domains.is_some() {
        header.push("TRUST DOMAIN");
    }
    let mut table = Table::new(5, &header);
    for (index, secret) in all.iter().enumerate() {
        let name = match with_names {
            true => format!("secret/{}", secret.name),
            false => secret.name.clone(),
        };
        let mut cells = vec![name];
        match &secret.certificate {
            None => {
                let blank = ["", secret.state, "false", "", "", ""];
                cells.extend(blank.map(str::to_owned));
            }
            Some(certificate) => {
                let of = if certificate.is_ca {
                    "CA"
                } else {
                    "Cert Chain"
                };
                let (after, before) = (certificate.not_after, certificate.not_before);
                let second = now.as_second();
                let valid = before.unix_timestamp() < second && second < after.unix_timestamp();
                cells.extend([
                    of.to_owned(),
                    secret.state.to_owned(),
                    valid.to_string(),
                    serial(certificate),
                    instant(after.unix_timestamp()),
                    instant(before.unix_timestamp()),
                ]);
            }
        }
        cells.extend(domains.as_ref().map(|domains| domains[index].clone()));
        table.row(cells);
    }
    Ok(table.print())
}

/// As the message of the dump.
pub(super) fn message(dump: &Dump) -> Result<Value, String> {
    let mut part = dump.part("SecretsConfigDump")?.clone();
    if let Value::Object(fields) = &mut part {
        fields.remove("@type");
    }
    Ok(part)
}

fn shown(entry: &Value, state: &'static str) -> Vec<Shown> {
    let name = entry["name"].as_str().unwrap_or_default();
    let secret = &entry["secret"];
    let state = match entry["versionInfo"].as_str() {
        Some("uninitialized") => "UNINITIALIZED",
        _ => state,
    };
    let one = |pem: Option<String>, trust_domain: Option<&str>| Shown {
        name: name.to_owned(),
        state,
        certificate: pem.and_then(|pem| Certificate::from_pem(&pem).ok()),
        trust_domain: trust_domain.map(str::to_owned),
    };
    let validation = &secret["validationContext"];
    let bundles = &validation["customValidatorConfig"]["typedConfig"];
    let chain = inline(&secret["tlsCertificate"]["certificateChain"]);
    let root = inline(&validation["trustedCa"]);
    if chain.is_none() && root.is_none() && bundles["trustDomains"].is_array() {
        let domains = entries(bundles, "trustDomains");
        return domains
            .map(|domain| one(inline(&domain["trustBundle"]), domain["name"].as_str()))
            .collect();
    }
    vec![one(chain.or(root), None)]
}

/// The text of a data source that stands in the message.
fn inline(source: &Value) -> Option<String> {
    if let Some(text) = source["inlineString"].as_str() {
        return Some(text.to_owned());
    }
    let bytes = STANDARD.decode(source["inlineBytes"].as_str()?).ok()?;
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.is_empty())
}

fn trust_domain(secret: &Shown) -> Option<String> {
    let of_certificate = || {
        let uris = &secret.certificate.as_ref()?.uris;
        let spiffe = uris.iter().find_map(|uri| uri.strip_prefix("spiffe://"))?;
        spiffe.split('/').next().map(str::to_owned)
    };
    secret.trust_domain.clone().or_else(of_certificate)
}

/// Hexadecimal, 32 digits at least.
fn serial(certificate: &Certificate) -> String {
    let text = certificate.serial().unwrap_or_default().replace(':', "");
    format!("{:0>32}", text.trim_start_matches('0'))
}

fn instant(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| String::new(), |at| at.to_string())
}
