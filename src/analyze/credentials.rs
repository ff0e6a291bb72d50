//! Certificates of Gateways: the Secret is there, it is one, it is valid, and no other Gateway has it too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::message::{DUPLICATE_CERTIFICATE, INVALID_CREDENTIAL, NOT_FOUND};
use crate::world::{Object, Report, World, items, labels, printed, selects};

pub fn check(world: &World, now: i64, report: &mut Report) {
    for gateway in world.networking("Gateway") {
        secrets(world, now, report, gateway);
        duplicates(world, report, gateway);
    }
}

fn secrets(world: &World, now: i64, report: &mut Report, gateway: &Object) {
    let selector = &gateway.spec()["selector"];
    let Some(pod) = world
        .core("Pod")
        .iter()
        .find(|pod| selects(selector, labels(pod)))
    else {
        report.add(NOT_FOUND, gateway, no_workload(selector));
        return;
    };
    for server in items(&gateway.spec()["servers"]) {
        let Some(name) = server["tls"]["credentialName"]
            .as_str()
            .filter(|name| !name.is_empty())
        else {
            continue;
        };
        match world.find("", "Secret", pod.namespace, name) {
            None => report.add(
                NOT_FOUND,
                gateway,
                format!(
                    "credentialName {name:?} is no Secret of namespace {}",
                    pod.namespace
                ),
            ),
            Some(secret) => {
                if let Err(reason) = is_usable(secret.value, now) {
                    report.add(
                        INVALID_CREDENTIAL,
                        gateway,
                        format!(
                            "Secret {}/{name} is no certificate: {reason}",
                            pod.namespace
                        ),
                    );
                }
            }
        }
    }
}

/// What is said of a selector that selects nothing.
pub fn no_workload(selector: &Value) -> String {
    format!("selector {:?} selects no pod", printed(selector))
}

/// Whether a Secret has a certificate, valid now, with its key.
fn is_usable(secret: &Value, now: i64) -> Result<(), String> {
    let part = |names: [&str; 2]| -> Result<String, String> {
        let [name, older] = names;
        let encoded = [name, older]
            .into_iter()
            .find_map(|name| secret["data"][name].as_str());
        let plain = [name, older]
            .into_iter()
            .find_map(|name| secret["stringData"][name].as_str());
        match (encoded, plain) {
            (Some(encoded), _) => {
                let bytes = STANDARD
                    .decode(encoded)
                    .map_err(|_| format!("{name} is not base64"))?;
                String::from_utf8(bytes).map_err(|_| format!("{name} is not PEM"))
            }
            (None, Some(plain)) => Ok(plain.to_owned()),
            (None, None) => Err(format!("it has no {name}")),
        }
    };
    let certificate = part(["tls.crt", "cert"])?;
    let key = part(["tls.key", "key"])?;
    if key.trim().is_empty() {
        return Err("tls.key is empty".to_owned());
    }
    let chain = pki::parse_bundle(&certificate).map_err(|error| error.to_string())?;
    for link in &chain {
        if now > link.not_after.unix_timestamp() {
            return Err(format!("{} expired", link.subject));
        }
        if now < link.not_before.unix_timestamp() {
            return Err(format!("{} is not valid yet", link.subject));
        }
    }
    Ok(())
}

fn duplicates(world: &World, report: &mut Report, gateway: &Object) {
    let selector = gateway.spec()["selector"].as_object();
    for other in world.networking("Gateway") {
        let same = other.namespace == gateway.namespace && other.name == gateway.name;
        let reached = selector.is_none_or(|selector| {
            selector
                .iter()
                .all(|(key, value)| other.spec()["selector"].get(key) == Some(value))
        });
        if same || !reached {
            continue;
        }
        for server in items(&gateway.spec()["servers"]) {
            for rival in items(&other.spec()["servers"]) {
                if share(&server["tls"], &rival["tls"]) {
                    let other = other.full_name();
                    let text = format!(
                        "has the certificate of gateway {other} too: clients that reuse HTTP/2 connections may get 404"
                    );
                    report.add(DUPLICATE_CERTIFICATE, gateway, text);
                }
            }
        }
    }
}

fn share(one: &Value, other: &Value) -> bool {
    let text = |tls: &Value, name: &str| tls[name].as_str().unwrap_or_default().to_owned();
    let same = |name: &str| !text(one, name).is_empty() && text(one, name) == text(other, name);
    let by_name = |tls: &Value| !text(tls, "credentialName").is_empty();
    match (by_name(one), by_name(other)) {
        (true, true) => same("credentialName"),
        (false, false) => same("serverCertificate") && same("privateKey"),
        _ => false,
    }
}
