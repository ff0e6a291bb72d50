//! A control plane in the operator's own process: what would have been istiod's Deployment becomes the command
//! that this process runs, and what selects istiod's pods selects the operator's instead.

use std::collections::BTreeMap;

use base::Problem;
use serde_json::{Map, Value};

use crate::istiod::CONTAINER;
use crate::manifest::render;
use crate::{Component, Install, Object};

/// Reason of Problems about settings that reach no object, since there is no Deployment.
const NO_EFFECT: &str = "NoEffect";

/// Kinds that exist for the sake of istiod's pods.
const OF_PODS: [&str; 3] = [
    "Deployment",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
];

/// Settings of those kinds.
const SETTINGS_OF_PODS: [&str; 15] = [
    "affinity",
    "hpaSpec",
    "imagePullPolicy",
    "nodeSelector",
    "podAnnotations",
    "podDisruptionBudget",
    "priorityClassName",
    "readinessProbe",
    "replicaCount",
    "resources",
    "securityContext",
    "strategy",
    "tolerations",
    "volumeMounts",
    "volumes",
];

/// The operator's own pods, which are in the namespace of the control plane: a Service selects pods of its own
/// namespace only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Labels by which a Service finds them.
    pub labels: BTreeMap<String, String>,
}

/// What the container `discovery` of istiod's Deployment would have run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Namespace of the Deployment.
    pub namespace: String,
    /// Its arguments, without the program and without the word `discovery`.
    pub arguments: Vec<String>,
    /// Its variables that have a plain value.
    pub environment: BTreeMap<String, String>,
}

/// The command of the control plane, with all settings and overlays of the specification in it. None when the
/// specification has no control plane that runs in this cluster.
pub fn command(install: &Install) -> Option<Command> {
    let without_host = Install {
        host: None,
        ..install.clone()
    };
    let objects = render(Component::Pilot, &without_host, &mut Vec::new());
    let deployment = objects.iter().find(|object| of_istiod(object, install))?;
    let containers = deployment.body.pointer("/spec/template/spec/containers")?;
    let container = containers
        .as_array()?
        .iter()
        .find(|container| container["name"] == CONTAINER)?;
    let arguments = container["args"].as_array().into_iter().flatten();
    let arguments = arguments.filter_map(Value::as_str).map(str::to_owned);
    let variables = container["env"].as_array().into_iter().flatten();
    let variables = variables.filter_map(|variable| {
        let text = |key: &str| variable[key].as_str().map(str::to_owned);
        Some((text("name")?, text("value")?))
    });
    Some(Command {
        namespace: deployment.reference.namespace.clone()?,
        arguments: arguments.skip_while(|word| word == "discovery").collect(),
        environment: variables.collect(),
    })
}

/// Takes out what exists for the sake of istiod's pods, and points what selects them at `host`'s pods.
pub(crate) fn hand_over(objects: &mut Vec<Object>, install: &Install, host: &Host) {
    let Some(deployment) = objects.iter().find(|object| of_istiod(object, install)) else {
        return;
    };
    let labels = deployment.body.pointer("/spec/template/metadata/labels");
    let labels = labels.and_then(Value::as_object).cloned();
    let labels = labels.unwrap_or_default();
    objects.retain(|object| {
        !(OF_PODS.contains(&object.reference.kind.as_str())
            && object.reference.name == install.revisioned("istiod"))
    });
    for object in objects {
        let selector = match object.reference.kind.as_str() {
            "Service" => "/spec/selector",
            "NetworkPolicy" => "/spec/podSelector/matchLabels",
            _ => continue,
        };
        if let Some(selector) = object
            .body
            .pointer_mut(selector)
            .and_then(Value::as_object_mut)
            && selects(selector, &labels)
        {
            *selector = host
                .labels
                .iter()
                .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
                .collect();
        }
    }
}

fn of_istiod(object: &Object, install: &Install) -> bool {
    object.reference.kind == "Deployment" && object.reference.name == install.revisioned("istiod")
}

fn selects(selector: &Map<String, Value>, labels: &Map<String, Value>) -> bool {
    !selector.is_empty()
        && selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
}

/// Settings of pods that do not exist.
pub(crate) fn judge(install: &Install) -> Vec<Problem> {
    let settings = install.pilot.iter().flat_map(|pilot| pilot.k8s.keys());
    settings
        .filter(|setting| SETTINGS_OF_PODS.contains(&setting.as_str()))
        .map(|setting| {
            let field = format!("spec.components.pilot.k8s.{setting}");
            let message = "has no effect: the operator's own pods host the control plane";
            Problem::warning(&install.subject, field, NO_EFFECT, message)
        })
        .collect()
}

#[cfg(test)]
mod tests;
