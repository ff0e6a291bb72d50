//! What the environment says about the workload's certificate, under upstream's names.

use std::time::Duration;

use bootstrap::{AuthPolicy, Facts};

use super::{KeyKind, Workload};
use crate::ca_client::CaClient;
use crate::config::{self, InvalidConfig};
use crate::control_plane::{ControlPlane, stream_headers};
use crate::renewal::Policy;

/// Nobody issues certificates to this proxy.
#[derive(Debug, PartialEq, Eq)]
pub struct Unsupported(pub String);

/// Who is to be certified and by whom, from the environment and the control plane that configures the proxy.
///
/// # Errors
/// A variable with a wrong value. [`Unsupported`], as a value, where there is no CA that this agent can speak to.
pub fn workload(
    facts: &Facts,
    control_plane: &ControlPlane,
) -> Result<Result<Workload, Unsupported>, InvalidConfig> {
    let variable = |name: &str| {
        let value = facts.environment.get(name).map_or("", String::as_str);
        (!value.is_empty()).then_some(value)
    };
    match variable("CA_PROVIDER") {
        None | Some("Citadel") => {}
        Some(other) => {
            let reason = format!("CA_PROVIDER {other:?} is not supported, expected Citadel");
            return Ok(Err(Unsupported(reason)));
        }
    }
    let address = variable("CA_ADDR").unwrap_or(&control_plane.address);
    if address.ends_with(":15010") || address == control_plane.address && plaintext(control_plane) {
        let reason =
            format!("{address} is spoken to in plaintext, where no certificates are issued");
        return Ok(Err(Unsupported(reason)));
    }
    let trust_domain = variable("TRUST_DOMAIN").unwrap_or("cluster.local");
    let namespace = variable("POD_NAMESPACE").unwrap_or("default");
    let account = variable("SERVICE_ACCOUNT").unwrap_or("default");
    let cluster = variable("ISTIO_META_CLUSTER_ID").unwrap_or("Kubernetes");
    let same_server = address == control_plane.address;
    let root_cert = variable("CA_ROOT_CA").map_or(control_plane.root_cert.clone(), Into::into);
    let name = match (variable("ISTIOD_SAN"), same_server) {
        (Some(name), _) => name,
        (None, true) => &control_plane.name,
        (None, false) => address.rsplit_once(':').map_or(address, |(host, _)| host),
    };
    let ratio = |name: &str, default| ratio(variable(name), name, default);
    Ok(Ok(Workload {
        identity: format!("spiffe://{trust_domain}/ns/{namespace}/sa/{account}"),
        key: key_kind(&variable)?,
        policy: Policy {
            ratio: ratio("SECRET_GRACE_PERIOD_RATIO", 0.5)?,
            jitter: ratio("SECRET_GRACE_PERIOD_RATIO_JITTER", 0.01)?,
        },
        roots: (same_server && variable("CA_ROOT_CA").is_none()).then(|| root_cert.clone()),
        ca: CaClient {
            server: ControlPlane {
                address: address.to_owned(),
                name: name.to_owned(),
                security: AuthPolicy::MutualTls,
                root_cert,
                token: control_plane.token.clone(),
                // A certificate must not be all that is needed for the next one.
                own: None,
                headers: stream_headers(cluster, "CA_HEADER_", facts.environment.iter()),
            },
            lifetime: config::duration(
                &facts.environment,
                "SECRET_TTL",
                Duration::from_secs(24 * 3600),
            )?,
        },
    }))
}

fn plaintext(control_plane: &ControlPlane) -> bool {
    control_plane.security == AuthPolicy::None
}

/// Upstream makes RSA keys unless told otherwise; here one must ask for them.
fn key_kind<'a>(variable: &impl Fn(&str) -> Option<&'a str>) -> Result<KeyKind, InvalidConfig> {
    let invalid = |name: &str, value: &str, expected| InvalidConfig::Value {
        name: name.to_owned(),
        value: value.to_owned(),
        expected,
    };
    match variable("ECC_SIGNATURE_ALGORITHM") {
        None => {}
        Some("ECDSA") => return curve(variable("ECC_CURVE"), &invalid),
        Some(other) => return Err(invalid("ECC_SIGNATURE_ALGORITHM", other, "ECDSA")),
    }
    match variable("WORKLOAD_RSA_KEY_SIZE") {
        None => curve(variable("ECC_CURVE"), &invalid),
        Some("2048") => Ok(KeyKind::Rsa(2048)),
        Some("3072") => Ok(KeyKind::Rsa(3072)),
        Some("4096") => Ok(KeyKind::Rsa(4096)),
        Some(other) => Err(invalid(
            "WORKLOAD_RSA_KEY_SIZE",
            other,
            "2048, 3072 or 4096",
        )),
    }
}

fn curve(
    value: Option<&str>,
    invalid: &impl Fn(&str, &str, &'static str) -> InvalidConfig,
) -> Result<KeyKind, InvalidConfig> {
    match value {
        None | Some("P256") => Ok(KeyKind::P256),
        Some("P384") => Ok(KeyKind::P384),
        Some(other) => Err(invalid("ECC_CURVE", other, "P256 or P384")),
    }
}

fn ratio(value: Option<&str>, name: &str, default: f64) -> Result<f64, InvalidConfig> {
    let Some(value) = value else {
        return Ok(default);
    };
    let parsed = value.parse().ok();
    parsed
        .filter(|ratio| (0.0..=1.0).contains(ratio))
        .ok_or_else(|| InvalidConfig::Value {
            name: name.to_owned(),
            value: value.to_owned(),
            expected: "a number from 0 to 1",
        })
}

#[cfg(test)]
mod tests;
