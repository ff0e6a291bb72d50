//! A component's `k8s` settings: one table says which object each belongs to and where in it, and
//! one merge puts them there. What a setting means is Kubernetes' business.

use serde_json::{Map, Value, json};

use crate::Object;
use crate::merge::set;
use crate::patch::patch;
use crate::scaling::Scaling;

/// The objects of a component that settings reach.
pub(crate) struct Target<'a> {
    /// Name of its Deployment, Service, autoscaler and budget.
    pub(crate) name: &'a str,
    /// Name of its main container.
    pub(crate) container: &'a str,
    /// Its autoscaler, if any, owns the number of replicas.
    pub(crate) scaling: Scaling,
    /// Fields that the builders have used already.
    pub(crate) built: &'a [(&'a str, &'a str)],
}

/// Where a setting goes.
enum Place {
    /// A path in an object of that kind.
    Path(&'static str, &'static [&'static str]),
    /// A field of the main container.
    Container,
}

const SETTINGS: [(&str, Place); 18] = [
    (
        "affinity",
        Place::Path(DEPLOYMENT, &["spec", "template", "spec", "affinity"]),
    ),
    ("env", Place::Container),
    ("hpaSpec", Place::Path("HorizontalPodAutoscaler", &["spec"])),
    ("imagePullPolicy", Place::Container),
    (
        "nodeSelector",
        Place::Path(DEPLOYMENT, &["spec", "template", "spec", "nodeSelector"]),
    ),
    (
        "podAnnotations",
        Place::Path(DEPLOYMENT, &["spec", "template", "metadata", "annotations"]),
    ),
    ("podDisruptionBudget", Place::Path(BUDGET, &["spec"])),
    (
        "priorityClassName",
        Place::Path(
            DEPLOYMENT,
            &["spec", "template", "spec", "priorityClassName"],
        ),
    ),
    ("readinessProbe", Place::Container),
    (
        "replicaCount",
        Place::Path(DEPLOYMENT, &["spec", "replicas"]),
    ),
    ("resources", Place::Container),
    (
        "securityContext",
        Place::Path(DEPLOYMENT, &["spec", "template", "spec", "securityContext"]),
    ),
    ("service", Place::Path(SERVICE, &["spec"])),
    (
        "serviceAnnotations",
        Place::Path(SERVICE, &["metadata", "annotations"]),
    ),
    ("strategy", Place::Path(DEPLOYMENT, &["spec", "strategy"])),
    (
        "tolerations",
        Place::Path(DEPLOYMENT, &["spec", "template", "spec", "tolerations"]),
    ),
    ("volumeMounts", Place::Container),
    (
        "volumes",
        Place::Path(DEPLOYMENT, &["spec", "template", "spec", "volumes"]),
    ),
];

const DEPLOYMENT: &str = "Deployment";
const SERVICE: &str = "Service";
const BUDGET: &str = "PodDisruptionBudget";

/// Puts the settings onto a component's objects.
pub(crate) fn apply(objects: &mut [Object], k8s: &Map<String, Value>, target: &Target<'_>) {
    for (field, place) in &SETTINGS {
        let Some(value) = k8s.get(*field) else {
            continue;
        };
        if *field == "replicaCount" && target.scaling.has_autoscaler() {
            continue;
        }
        let value = without_built(field, value, target);
        let (kind, over) = match place {
            Place::Path(kind, path) => {
                let mut over = Map::new();
                set(&mut over, path, value);
                (*kind, over)
            }
            Place::Container => {
                let container = json!({"name": target.container, *field: value});
                let mut over = Map::new();
                let path = ["spec", "template", "spec", "containers"];
                set(&mut over, &path, json!([container]));
                (DEPLOYMENT, over)
            }
        };
        for object in objects.iter_mut() {
            let reference = &object.reference;
            if reference.kind != kind || reference.name != target.name {
                continue;
            }
            if let Value::Object(body) = &mut object.body {
                patch(body, &over);
                if kind == BUDGET {
                    settle_budget(body, value_of(k8s, field, "maxUnavailable"));
                }
            }
        }
    }
}

/// The setting without what is in the object already, in another form.
fn without_built(field: &str, value: &Value, target: &Target<'_>) -> Value {
    let mut value = value.clone();
    for (built, part) in target.built {
        if let (true, Some(map)) = (*built == field, value.as_object_mut()) {
            map.shift_remove(*part);
        }
    }
    value
}

fn value_of<'a>(k8s: &'a Map<String, Value>, field: &str, part: &str) -> Option<&'a Value> {
    k8s.get(field)?.get(part)
}

/// A budget takes one limit: a given `maxUnavailable` takes the place of the built-in minimum.
fn settle_budget(body: &mut Map<String, Value>, max_unavailable: Option<&Value>) {
    if max_unavailable.is_some_and(|value| !value.is_null()) {
        patch(
            body,
            json!({"spec": {"minAvailable": null}})
                .as_object()
                .expect("a literal object"),
        );
    }
}
