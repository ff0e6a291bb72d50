//! Probes and lifecycle calls of the kubelet, led to the agent: the kubelet has no certificate of the
//! mesh, and a TCP probe would only ever find the proxy. The agent keeps the originals in its environment.

use serde_json::{Map, Value, json};

use crate::PROXY;
use crate::error::Error;
use crate::mesh_config::MeshConfig;
use crate::overrides::STATUS;
use crate::pod::{annotation, as_object, container_mut, list, list_mut, name, parse_bool};
use crate::schema::{Kind, PROBER, encode};
use crate::settings::Settings;

const REWRITE: &str = "sidecar.istio.io/rewriteAppHTTPProbers";
const STATUS_PORT: &str = "status.sidecar.istio.io/port";
const PROBERS: &str = "ISTIO_KUBE_APP_PROBERS";

/// Where a probe stands in a container, and the end of the path under which the agent answers it.
const PROBES: [(&[&str], &str); 5] = [
    (&["readinessProbe"], "/app-health/{}/readyz"),
    (&["livenessProbe"], "/app-health/{}/livez"),
    (&["startupProbe"], "/app-health/{}/startupz"),
    (&["lifecycle", "preStop"], "/app-lifecycle/{}/prestopz"),
    (&["lifecycle", "postStart"], "/app-lifecycle/{}/poststartz"),
];

/// Leads probes to the agent if the pod or the installation wants it and there is a proxy.
///
/// # Errors
/// The pod's own status port is none.
pub fn rewrite(pod: &mut Value, settings: &Settings, mesh: &MeshConfig) -> Result<(), Error> {
    let installed = settings
        .values
        .pointer("/sidecarInjectorWebhook/rewriteAppHTTPProbe");
    let asked = annotation(pod, REWRITE).and_then(parse_bool);
    let wanted = asked.unwrap_or(installed == Some(&Value::Bool(true)));
    if !wanted || crate::pod::container(pod, PROXY).is_none() {
        return Ok(());
    }
    let probers = probers(pod, mesh.status_port());
    if !probers.is_empty() {
        remember(pod, probers);
    }
    let port = match annotation(pod, STATUS_PORT) {
        None => mesh.status_port(),
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| Error::StatusPort(text.to_owned()))?,
    };
    for from in ["containers", "initContainers"] {
        if list(pod, from).is_empty() {
            continue;
        }
        for container in list_mut(pod, from) {
            if name(container) != PROXY {
                redirect(container, port);
            }
        }
    }
    Ok(())
}

/// The original probes by the path under which the agent answers them.
fn probers(pod: &Value, status_port: i64) -> Map<String, Value> {
    let mut found: Vec<(String, Value)> = Vec::new();
    for container in list(pod, "initContainers")
        .iter()
        .chain(list(pod, "containers"))
    {
        if name(container) == PROXY {
            continue;
        }
        for (at, path) in PROBES {
            let probe = at.iter().try_fold(container, |value, step| value.get(step));
            if let Some(prober) = probe.and_then(|probe| prober(probe, container, status_port)) {
                found.push((path.replace("{}", name(container)), prober));
            }
        }
    }
    found.sort_by(|one, two| one.0.cmp(&two.0));
    found.into_iter().collect()
}

/// What the agent has to do for a probe; nothing for one that it can't stand for, or already does.
fn prober(probe: &Value, container: &Value, status_port: i64) -> Option<Value> {
    let kind = ["httpGet", "tcpSocket", "grpc"]
        .into_iter()
        .find(|kind| probe.get(kind).is_some_and(|action| !action.is_null()))?;
    let mut action = probe.get(kind)?.clone();
    if kind != "grpc" {
        match action.get("port") {
            Some(Value::String(named)) => {
                let ports = container.get("ports").and_then(Value::as_array)?;
                let port = crate::pod::find(ports, named)?
                    .get("containerPort")?
                    .clone();
                as_object(&mut action).insert("port".to_owned(), port);
            }
            port if port.and_then(Value::as_i64) == Some(status_port) => return None,
            _ => {}
        }
    }
    let mut prober = json!({kind: action});
    if let Some(timeout) = probe.get("timeoutSeconds") {
        prober["timeoutSeconds"] = timeout.clone();
    }
    Some(prober)
}

/// Puts the probes into the proxy's environment. In a pod that was injected before, those that are there win:
/// the pod's own are by now the agent's.
fn remember(pod: &mut Value, mut probers: Map<String, Value>) {
    let injected = annotation(pod, STATUS).is_some();
    let Some(proxy) = container_mut(pod, PROXY) else {
        return;
    };
    let environment = as_object(proxy).entry("env").or_insert_with(|| json!([]));
    let Value::Array(environment) = environment else {
        return;
    };
    let existing = environment
        .iter_mut()
        .find(|variable| injected && name(variable) == PROBERS);
    match existing {
        None => environment.push(json!({"name": PROBERS, "value": printed(&probers)})),
        Some(variable) => {
            let text = variable
                .get("value")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if let Ok(older) = serde_json::from_str::<Map<String, Value>>(text) {
                probers.extend(older);
                probers.sort_keys();
                *variable = json!({"name": PROBERS, "value": printed(&probers)});
            }
        }
    }
}

fn printed(probers: &Map<String, Value>) -> String {
    let entries: Vec<String> = probers
        .iter()
        .map(|(path, prober)| {
            format!(
                "{}:{}",
                Value::String(path.clone()),
                encode(prober, &Kind::Object(&PROBER))
            )
        })
        .collect();
    format!("{{{}}}", entries.join(","))
}

fn redirect(container: &mut Value, port: i64) {
    let own = name(container).to_owned();
    for (at, path) in PROBES {
        let mut probe = Some(&mut *container);
        for step in at {
            probe = probe
                .and_then(|value| value.get_mut(*step))
                .filter(|value| value.is_object());
        }
        let Some(Value::Object(probe)) = probe else {
            continue;
        };
        let path = path.replace("{}", &own);
        let is_lifecycle = at.len() > 1;
        let given = |probe: &Map<String, Value>, kind: &str| {
            probe.get(kind).is_some_and(|action| !action.is_null())
        };
        if given(probe, "httpGet") {
            let action = as_object(probe.entry("httpGet").or_insert(Value::Null));
            action.insert("path".to_owned(), json!(path));
            action.insert("port".to_owned(), json!(port));
            // From the kubelet to the agent it is HTTP; the agent speaks HTTPS to the application.
            if action.get("scheme").and_then(Value::as_str) == Some("HTTPS") {
                action.insert("scheme".to_owned(), json!("HTTP"));
            }
        } else if given(probe, "tcpSocket") || (!is_lifecycle && given(probe, "grpc")) {
            probe.shift_remove("tcpSocket");
            probe.shift_remove("grpc");
            probe.insert("httpGet".to_owned(), json!({"path": path, "port": port}));
        }
    }
}

#[cfg(test)]
mod tests;
