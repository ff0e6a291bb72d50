//! What a pod becomes: the templates it asks for, rendered and merged onto it, then what no template
//! can do, in upstream's order.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::PROXY;
use crate::annotation::validate;
use crate::error::Error;
use crate::image::image;
use crate::merge::merge;
use crate::mesh_config::{MeshConfig, object};
use crate::order::reorder;
use crate::overrides::{STATUS, follow_user, reapply, stripped};
use crate::owner::Owner;
use crate::pod::{
    annotation, as_object, container_mut, find, label, list, list_mut, metadata_map, name,
};
use crate::schema::{Kind, POD, canonical};
use crate::settings::Settings;
use crate::template::{GoValue, plain, structure, table, text, with_json};
use crate::{probes, prometheus};

const TEMPLATES: &str = "inject.istio.io/templates";
/// Upstream knows no bound; its own templates are eight.
const MOST_TEMPLATES: usize = 16;
const NATIVE: &str = "sidecar.istio.io/nativeSidecar";
const NETWORK: &str = "topology.istio.io/network";
const CLUSTER_VARIABLE: &str = "ISTIO_META_CLUSTER_ID";
const NETWORK_VARIABLE: &str = "ISTIO_META_NETWORK";

/// Everything that an injection depends on.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The pod as it comes.
    pub pod: &'a Value,
    /// The workload that it belongs to.
    pub owner: &'a Owner,
    /// Templates and values.
    pub settings: &'a Settings,
    /// The mesh, without the pod's own proxy config.
    pub mesh: &'a MeshConfig,
    /// Revision of the control plane; empty for the default one.
    pub revision: &'a str,
    /// Whether the nodes run sidecars as init containers that stay (Kubernetes 1.33 and later).
    pub native_sidecars: bool,
    /// Environment that the path of the webhook carries, see [`crate::parameters`].
    pub parameters: &'a BTreeMap<String, String>,
    /// Name of a policy such as `fips-140-3` that proxies obey; empty for none.
    pub compliance_policy: &'a str,
}

/// The pod with its sidecar.
///
/// # Errors
/// See [`Error`]; each is for the user who wrote the pod or the template.
pub fn inject(request: &Request<'_>) -> Result<Value, Error> {
    let original = request.pod;
    let problems = validate(original);
    if !problems.is_empty() {
        return Err(Error::Annotations(problems));
    }
    let mesh = request.mesh.for_pod(original)?;
    let environment = environment(request);
    let native = native(request);
    let dot = data(request, &mesh)?;
    let mut pod = original.clone();
    let mut injected = json!({});
    for template in templates(request)? {
        let known = &request.settings.templates;
        let found = known.get(&template).ok_or_else(|| Error::NoTemplate {
            name: template.clone(),
            known: known.keys().cloned().collect::<Vec<_>>().join(", "),
        })?;
        let rendered = object(&template, &found.render(&dot)?).map_err(|error| Error::NotYaml {
            name: template,
            reason: error.to_string(),
        })?;
        overlay(&mut injected, &rendered)?;
        if native && find(list(&injected, "initContainers"), PROXY).is_some() {
            move_proxy(&mut pod);
        }
        overlay(&mut pod, &rendered)?;
    }
    reapply(&mut pod, original, &injected)?;
    let tproxy = mesh.interception_mode() == "TPROXY"
        || annotation(&pod, "sidecar.istio.io/interceptionMode") == Some("TPROXY");
    follow_user(&mut pod, original, tproxy);

    set_environment(&mut pod, &environment);
    prometheus::merge(&mut pod, &mesh)?;
    prometheus::announce_secure_port(&mut pod);
    probes::rewrite(&mut pod, request.settings, &mesh)?;
    if let Some(network) = environment.get(NETWORK_VARIABLE) {
        metadata_map(&mut pod, "labels").insert(NETWORK.to_owned(), json!(network));
    }
    let annotations = metadata_map(&mut pod, "annotations");
    annotations.insert(
        STATUS.to_owned(),
        Value::String(status(&injected, request.revision)),
    );
    for (name, value) in &request.settings.injected_annotations {
        annotations.insert(name.clone(), json!(value));
    }
    let hold = mesh.holds_application()
        || request
            .settings
            .global("/proxy/holdApplicationUntilProxyStarts")
            == Some(&Value::Bool(true));
    reorder(&mut pod, hold);
    Ok(pod)
}

/// Cluster and network by precedence: the pod's label, the path, the values; with all else that the path says.
fn environment(request: &Request<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::from([
        (
            CLUSTER_VARIABLE.to_owned(),
            request.settings.global_text("/multiCluster/clusterName"),
        ),
        (
            NETWORK_VARIABLE.to_owned(),
            request.settings.global_text("/network"),
        ),
    ]);
    found.retain(|_, value| !value.is_empty());
    found.extend(request.parameters.clone());
    if let Some(network) = label(request.pod, NETWORK) {
        found.insert(NETWORK_VARIABLE.to_owned(), network.to_owned());
    }
    found
}

fn native(request: &Request<'_>) -> bool {
    match annotation(request.pod, NATIVE) {
        Some("true") => true,
        Some("false") => false,
        _ => request.native_sidecars,
    }
}

/// The templates that the pod, or else the installation, asks for; an alias stands for several.
fn templates(request: &Request<'_>) -> Result<Vec<String>, Error> {
    let asked: Vec<String> = match annotation(request.pod, TEMPLATES) {
        Some(names) => names
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect(),
        None => request.settings.default_templates.clone(),
    };
    if asked.len() > MOST_TEMPLATES {
        return Err(Error::TooManyTemplates {
            annotation: TEMPLATES,
            count: asked.len(),
            most: MOST_TEMPLATES,
        });
    }
    let aliases = &request.settings.aliases;
    let named = asked
        .into_iter()
        .flat_map(|name| aliases.get(&name).cloned().unwrap_or_else(|| vec![name]));
    Ok(named.collect())
}

/// What templates see as `.`
fn data(request: &Request<'_>, mesh: &MeshConfig) -> Result<GoValue, Error> {
    let pod = stripped(request.pod, mesh.status_port())?;
    let part = |name: &str| structure(pod.get(name).unwrap_or(&Value::Null), POD.kind(name));
    let owner = request.owner;
    let settings = request.settings;
    let number = |value: &Value| value.as_i64().map_or(GoValue::Nil, GoValue::Int);
    Ok(table([
        (
            "TypeMeta",
            table([
                ("APIVersion", text(&owner.api_version)),
                ("Kind", text(&owner.kind)),
            ]),
        ),
        (
            "DeploymentMeta",
            table([
                ("Name", text(&owner.name)),
                ("Namespace", text(&owner.namespace)),
            ]),
        ),
        ("ObjectMeta", part("metadata")),
        ("Spec", part("spec")),
        ("ProxyConfig", proxy_config(mesh)),
        ("MeshConfig", structure(&mesh.json(), &Kind::Any)),
        ("Values", plain(&settings.values)),
        ("Revision", text(request.revision)),
        ("NativeSidecars", GoValue::Bool(request.native_sidecars)),
        (
            "ProxyImage",
            text(&image(settings, "proxy", mesh.image_type(), &pod)),
        ),
        (
            "ProxyInitImage",
            text(&image(settings, "proxy_init", None, &pod)),
        ),
        ("ProxyUID", number(&json!(1337))),
        ("ProxyGID", number(&json!(1337))),
        ("InboundTrafficPolicyMode", text(mesh.inbound_policy())),
        ("CompliancePolicy", text(request.compliance_policy)),
    ]))
}

fn proxy_config(mesh: &MeshConfig) -> GoValue {
    let mut proxy = mesh.proxy().clone();
    proxy
        .entry("interceptionMode")
        .or_insert_with(|| json!(mesh.interception_mode()));
    let metadata = proxy
        .shift_remove("proxyMetadata")
        .unwrap_or_else(|| json!({}));
    let value = structure(&Value::Object(proxy), &Kind::Any);
    let GoValue::Map(fields) = with_json(&value, &mesh.proxy_json()) else {
        return value;
    };
    let mut fields = BTreeMap::clone(&fields);
    // A map, whose keys are no field names.
    fields.insert("ProxyMetadata".into(), plain(&metadata));
    GoValue::Map(fields.into())
}

fn overlay(pod: &mut Value, rendered: &Map<String, Value>) -> Result<(), Error> {
    // An object of the template that is nothing (`annotations:` with all of its lines left out) says nothing.
    let mut rendered = rendered.clone();
    if let Some(Value::Object(metadata)) = rendered.get_mut("metadata") {
        metadata.retain(|_, value| !value.is_null());
    }
    let mut canon = Value::Object(rendered);
    canonical_quantities(&mut canon);
    merge(as_object(pod), as_object(&mut canon), Some(&POD))?;
    Ok(())
}

/// Canonical quantities; nulls stay, since they remove.
fn canonical_quantities(rendered: &mut Value) {
    for from in ["containers", "initContainers"] {
        let path = format!("/spec/{from}");
        let Some(Value::Array(items)) = rendered.pointer_mut(&path) else {
            continue;
        };
        for item in items {
            if let Some(resources) = item.get_mut("resources") {
                for section in ["limits", "requests"] {
                    if let Some(section) = resources.get_mut(section) {
                        canonical(section, &Kind::Quantities);
                    }
                }
            }
        }
    }
}

/// A user who writes a container istio-proxy writes it among the ordinary ones.
fn move_proxy(pod: &mut Value) {
    let index = list(pod, "containers")
        .iter()
        .position(|item| name(item) == PROXY);
    if let Some(index) = index {
        let proxy = list_mut(pod, "containers").remove(index);
        list_mut(pod, "initContainers").push(proxy);
    }
}

/// Replaces or adds environment variables of the proxy.
fn set_environment(pod: &mut Value, environment: &BTreeMap<String, String>) {
    if environment.is_empty() {
        return;
    }
    let Some(proxy) = container_mut(pod, PROXY) else {
        return;
    };
    let entry = as_object(proxy).entry("env").or_insert_with(|| json!([]));
    if let Value::Array(items) = entry {
        items.retain(|item| !environment.contains_key(name(item)));
        items.extend(
            environment
                .iter()
                .map(|(name, value)| json!({"name": name, "value": value})),
        );
    }
}

/// What was injected, for a later injection of the same pod and for people.
fn status(injected: &Value, revision: &str) -> String {
    let names = |from: &str| -> Value {
        let names: Vec<&str> = list(injected, from).iter().map(name).collect();
        if names.is_empty() {
            Value::Null
        } else {
            json!(names)
        }
    };
    json!({
        "initContainers": names("initContainers"),
        "containers": names("containers"),
        "volumes": names("volumes"),
        "imagePullSecrets": names("imagePullSecrets"),
        "revision": if revision.is_empty() { "default" } else { revision },
    })
    .to_string()
}

#[cfg(test)]
mod tests;
