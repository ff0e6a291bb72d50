//! Objects with pods in them (Deployment, CronJob, List …), as `kube-inject` gets them from files.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::decide::{Policy, Reason, Verdict, decide};
use crate::error::Error;
use crate::injection::{Request, inject};
use crate::mesh_config::MeshConfig;
use crate::owner::Owner;
use crate::pod::metadata;
use crate::schema::{Kind, POD, canonical};
use crate::settings::Settings;

/// What is the same for every object of a file.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Templates and values; the policy is not asked, since giving a file to be injected is asking.
    pub settings: &'a Settings,
    /// The mesh.
    pub mesh: &'a MeshConfig,
    /// Whether the nodes run sidecars as init containers that stay.
    pub native_sidecars: bool,
    /// Revision of the control plane; empty for the default one.
    pub revision: &'a str,
    /// See [`Request::compliance_policy`].
    pub compliance_policy: &'a str,
}

/// Where an object has its pod: what to take as the pod's metadata, and its spec.
struct Place {
    metadata: &'static str,
    spec: &'static str,
}

/// The object with sidecars in its pods; `skipped` is told of each that gets none. Objects of other kinds
/// come back as they are.
///
/// # Errors
/// See [`Error`].
pub fn inject_object(
    object: &Value,
    context: &Context<'_>,
    skipped: &mut dyn FnMut(String),
) -> Result<Value, Error> {
    let kind = object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if kind == "List" {
        let mut list = object.clone();
        if let Some(Value::Array(items)) = list.get_mut("items") {
            for item in items {
                *item = inject_object(item, context, skipped)?;
            }
        }
        return Ok(list);
    }
    let Some(place) = place(object, kind) else {
        return Ok(object.clone());
    };
    let spec = object.pointer(place.spec).ok_or_else(|| Error::NoPod {
        object: described(object),
        field: place.spec.trim_start_matches('/'),
    })?;
    let mut pod = json!({"spec": spec});
    if let Some(metadata) = object.pointer(place.metadata) {
        pod["metadata"] = metadata.clone();
    }
    let found = metadata(&pod, "namespace").to_owned();
    match decide(&pod, &found, &Policy::default()) {
        Verdict::Inject => {}
        Verdict::Skip(Reason::HostNetwork) => {
            let name = described(object);
            skipped(format!(
                "Skipping injection because {name} has host networking enabled"
            ));
            return Ok(object.clone());
        }
        Verdict::Skip(_) => {
            let name = described(object);
            skipped(format!(
                "Skipping injection because {name} has sidecar injection disabled"
            ));
            return Ok(object.clone());
        }
    }
    let owner = owner(object, kind, &pod);
    let mut injected = inject(&Request {
        pod: &pod,
        owner: &owner,
        settings: context.settings,
        mesh: context.mesh,
        revision: context.revision,
        native_sidecars: context.native_sidecars,
        parameters: &BTreeMap::new(),
        compliance_policy: context.compliance_policy,
    })?;
    canonical(&mut injected, &Kind::Object(&POD));
    let mut object = object.clone();
    put(&mut object, place.metadata, injected["metadata"].take());
    put(&mut object, place.spec, injected["spec"].take());
    Ok(object)
}

fn place(object: &Value, kind: &str) -> Option<Place> {
    let version = object
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let in_template = Place {
        metadata: "/spec/template/metadata",
        spec: "/spec/template/spec",
    };
    match (version, kind) {
        ("v1", "Pod") => Some(Place {
            metadata: "/metadata",
            spec: "/spec",
        }),
        // The metadata of the job, as upstream has it.
        ("batch/v1", "CronJob") => Some(Place {
            metadata: "/spec/jobTemplate/metadata",
            spec: "/spec/jobTemplate/spec/template/spec",
        }),
        ("v1", "ReplicationController")
        | ("apps/v1", "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet")
        | ("batch/v1", "Job")
        | ("apps.openshift.io/v1" | "v1", "DeploymentConfig") => Some(in_template),
        _ => None,
    }
}

fn owner(object: &Value, kind: &str, pod: &Value) -> Owner {
    if kind == "Pod" {
        return Owner::of_pod(pod, metadata(pod, "namespace"));
    }
    let version = object
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Owner {
        api_version: version.to_owned(),
        kind: kind.to_owned(),
        name: metadata(object, "name").to_owned(),
        namespace: metadata(object, "namespace").to_owned(),
    }
}

/// `Deployment "shop/reviews"`.
fn described(object: &Value) -> String {
    let kind = object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let (namespace, name) = (metadata(object, "namespace"), metadata(object, "name"));
    match namespace {
        "" => format!("{kind} {name:?}"),
        namespace => format!("{kind} \"{namespace}/{name}\""),
    }
}

/// Puts a value at a path, making what leads to it.
fn put(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for step in path.split('/').skip(1) {
        place = crate::pod::as_object(place)
            .entry(step)
            .or_insert(Value::Null);
    }
    *place = value;
}

#[cfg(test)]
mod tests;
