//! What is wrong with a specification whose form is right, and what of it is understood but not
//! built. Every judgement is a Problem; nothing is changed here.

use base::condition::UNSUPPORTED;
use base::{ObjectRef, Problem};
use serde_json::{Map, Value};

use super::form::{LABEL, TAG, is_hub, is_label, is_tag};
use super::inert::{INERT, reads};
use super::layers::Named;
use super::{Gateway, Install};
use crate::merge::{at, map_at};
use crate::profile::{self, COMPATIBILITY, PLATFORMS};
use crate::scaling::Scaling;
use crate::values::text;

const INVALID: &str = "InvalidValue";
const NO_EFFECT: &str = "NoEffect";
/// Profiles of meshes without sidecars.
const AMBIENT: [&str; 2] = ["ambient", "openshift-ambient"];
/// Oldest version of Kubernetes that the rendered objects are made for.
const OLDEST_KUBERNETES: (u32, u32) = (1, 32);

/// Findings that need no defaults.
pub(super) fn before_merge(subject: &ObjectRef, user: &Map<String, Value>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let given = |field: &str| user.get(field).filter(|value| !is_empty(value));
    for (field, what) in [
        ("installPackagePath", "installing from charts of your own"),
        ("addonComponents", "installing addons"),
        ("resourceSuffix", "a suffix of names"),
    ] {
        if given(field).is_some() {
            problems.push(unsupported(subject, &format!("spec.{field}"), what));
        }
    }
    for (field, profile) in [
        ("spec.profile", user.get("profile").and_then(Value::as_str)),
        (
            "spec.values.profile",
            Named::of(map_at(user, &["values"])).profile.as_deref(),
        ),
    ] {
        if profile.is_some_and(|profile| AMBIENT.contains(&profile)) {
            problems.push(unsupported(subject, field, "ambient mode"));
        }
    }
    let values = map_at(user, &["values"]);
    // It is passed on to injection, as upstream does; what it counts on is not installed.
    if at(values, &["pilot", "cni", "enabled"]) == Some(&Value::Bool(true)) {
        problems.push(without_cni(subject, "spec.values.pilot.cni.enabled"));
    }
    for path in INERT {
        let steps: Vec<&str> = path.split('.').collect();
        if at(values, &steps).is_some_and(|value| !is_empty(value)) {
            problems.push(idle(subject, &format!("spec.values.{path}")));
        }
    }
    problems
}

/// A profile that the program does not carry.
pub(super) fn unknown_profile(subject: &ObjectRef, field: &str, name: &str) -> Problem {
    let message = format!("is {name:?}, expected one of {}", profile::names());
    Problem::error(subject, field, "UnknownProfile", message)
}

/// Findings about the cluster, where one was asked.
pub(super) fn cluster(subject: &ObjectRef, kubernetes: Option<(u32, u32)>) -> Option<Problem> {
    let (major, minor) = kubernetes.filter(|version| *version < OLDEST_KUBERNETES)?;
    let (oldest_major, oldest_minor) = OLDEST_KUBERNETES;
    let message = format!(
        "the cluster runs Kubernetes {major}.{minor}, expected {oldest_major}.{oldest_minor} or newer"
    );
    Some(Problem::warning(subject, "", "OldKubernetes", message))
}

/// Findings about the whole.
pub(super) fn after_merge(install: &Install, merged: &Map<String, Value>) -> Vec<Problem> {
    let mut judge = Judge {
        subject: &install.subject,
        problems: Vec::new(),
    };
    judge.owner(install);
    judge.named_values(merged);
    judge.images(merged);
    judge.revision(&install.revision);
    judge.namespace(install, merged);
    judge.environment(install);
    for (component, spec) in map_at(merged, &["components"]) {
        judge.component(component, spec);
    }
    for namespace in install.namespaces() {
        if !is_label(&namespace) {
            let message = format!("{namespace:?} is no namespace, expected a DNS label");
            judge.error("spec.components", message);
        }
    }
    if let Some(pilot) = &install.pilot {
        judge.scaling("spec.components.pilot", pilot.scaling(), &pilot.k8s);
        let scope = &pilot.values.global.resource_scope;
        if !["all", "cluster", "namespace"].contains(&scope.as_str()) {
            let message = format!("is {scope:?}, expected all, cluster or namespace");
            judge.error("spec.values.global.resourceScope", message);
        }
        let provider = &pilot.values.global.pilot_cert_provider;
        if provider == "kubernetes" {
            let message = "is \"kubernetes\", which Kubernetes has removed, expected istiod";
            judge.error("spec.values.global.pilotCertProvider", message.to_owned());
        }
        for (index, tag) in pilot.values.revision_tags.iter().enumerate() {
            if !is_label(tag) {
                let message = format!("is {tag:?}, expected a DNS label");
                judge.error(&format!("spec.values.revisionTags[{index}]"), message);
            }
        }
        for (field, bundle) in [
            (
                "spec.values.base.validationCABundle",
                &pilot.values.base.ca_bundle,
            ),
            (
                "spec.values.istiodRemote.injectionCABundle",
                &pilot.values.istiod_remote.injection_ca_bundle,
            ),
        ] {
            if serde_json::from_value::<k8s_openapi::ByteString>(Value::String(bundle.clone()))
                .is_err()
            {
                judge.error(
                    field,
                    "is not base64, expected certificates in base64".to_owned(),
                );
            }
        }
    }
    judge.gateways(&install.gateways);
    judge.problems
}

struct Judge<'a> {
    subject: &'a ObjectRef,
    problems: Vec<Problem>,
}

impl Judge<'_> {
    /// The owner's name is a label of every object.
    fn owner(&mut self, install: &Install) {
        if let Some(owner) = install.owner.as_ref().filter(|o| o.name.len() > LABEL) {
            let length = owner.name.len();
            let message = format!(
                "has {length} characters, expected at most {LABEL}, since objects are labelled with it"
            );
            self.error("metadata.name", message);
        }
    }

    /// Sets of values are named where they are known.
    fn named_values(&mut self, merged: &Map<String, Value>) {
        let named = Named::of(map_at(merged, &["values"]));
        let keys =
            |table: &Map<String, Value>| table.keys().cloned().collect::<Vec<_>>().join(", ");
        if let Some(name) = named.profile.filter(|name| profile::named(name).is_none()) {
            self.problems
                .push(unknown_profile(self.subject, "spec.values.profile", &name));
        }
        for (field, name, table) in [
            (
                "spec.compatibilityVersion",
                named.compatibility,
                &*COMPATIBILITY,
            ),
            ("spec.values.global.platform", named.platform, &*PLATFORMS),
        ] {
            if let Some(name) = name.filter(|name| !table.contains_key(name)) {
                let message = format!("is {name:?}, expected one of {}", keys(table));
                self.error(field, message);
            }
        }
    }

    fn images(&mut self, merged: &Map<String, Value>) {
        let hub = at(merged, &["values", "global", "hub"]).map(text);
        if let Some(hub) = hub.filter(|hub| !is_hub(hub)) {
            let message =
                format!("is {hub:?}, expected a registry and a path such as registry.example/mesh");
            self.error("spec.hub", message);
        }
        let tag = at(merged, &["values", "global", "tag"]).map(text);
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            let message =
                format!("is {tag:?}, expected letters, digits and . _ - only, at most {TAG}");
            self.error("spec.tag", message);
        }
    }

    fn revision(&mut self, revision: &str) {
        if !revision.is_empty() && !is_label(revision) {
            let message = format!(
                "is {revision:?}, expected a DNS label: lower case letters, digits and -, at most {LABEL}"
            );
            self.error("spec.revision", message);
        }
    }

    /// Upstream's first operators installed into this namespace, later ones do not read it.
    fn namespace(&mut self, install: &Install, merged: &Map<String, Value>) {
        let given = merged.get("namespace").map(text).unwrap_or_default();
        if !given.is_empty() && given != install.istio_namespace {
            let message = format!(
                "is {given:?} and changes nothing; the root namespace is {}, as \
                 spec.values.global.istioNamespace says",
                install.istio_namespace
            );
            self.warning("spec.namespace", UNSUPPORTED, message);
        }
    }

    /// Variables of the control plane that it does not read.
    fn environment(&mut self, install: &Install) {
        let env = install.pilot.iter().flat_map(|pilot| &pilot.values.env);
        for (name, _) in env.filter(|(name, _)| !reads(name)) {
            let field = format!("spec.values.pilot.env.{name}");
            let message = "is a variable that the control plane does not read yet";
            self.warning(&field, UNSUPPORTED, message.to_owned());
        }
    }

    /// What can be said of a component before its values are known.
    fn component(&mut self, name: &str, spec: &Value) {
        let field = format!("spec.components.{name}");
        let on = |spec: &Value| spec.get("enabled") == Some(&Value::Bool(true));
        match (name, spec) {
            ("cni", spec) if on(spec) => self.problems.push(without_cni(self.subject, &field)),
            ("ztunnel", spec) if on(spec) => self.unsupported(&field, "ambient mode"),
            ("istiodRemote", spec) if on(spec) => {
                let message = "is understood and changes nothing; for a control plane elsewhere \
                               set profile: remote, or values.istiodRemote";
                self.warning(&field, UNSUPPORTED, message.to_owned());
            }
            ("base" | "pilot", spec) => self.settings(&field, spec),
            (_, Value::Array(gateways)) => {
                for (index, spec) in gateways.iter().enumerate() {
                    self.settings(&format!("{field}[{index}]"), spec);
                }
            }
            _ => {}
        }
    }

    fn settings(&mut self, field: &str, spec: &Value) {
        if spec.get("spec").is_some_and(|value| !is_empty(value)) {
            self.problems
                .push(idle(self.subject, &format!("{field}.spec")));
        }
        let Some(k8s) = spec.get("k8s").and_then(Value::as_object) else {
            return;
        };
        let only_overlays = field == "spec.components.base";
        for (name, value) in k8s {
            let field = format!("{field}.k8s.{name}");
            if is_empty(value) {
                continue;
            }
            if only_overlays && name != "overlays" {
                let message = "has no effect, the base component has no workload";
                self.warning(&field, NO_EFFECT, message.to_owned());
            }
        }
        if let Some(Value::Object(budget)) = k8s.get("podDisruptionBudget")
            && ["minAvailable", "maxUnavailable"]
                .iter()
                .all(|key| budget.get(*key).is_some_and(|value| !value.is_null()))
        {
            let message = "has both minAvailable and maxUnavailable, expected one";
            self.error(
                &format!("{field}.k8s.podDisruptionBudget"),
                message.to_owned(),
            );
        }
    }

    fn gateways(&mut self, gateways: &[Gateway]) {
        for (index, gateway) in gateways.iter().enumerate() {
            let Gateway {
                field,
                name,
                namespace,
                ..
            } = gateway;
            if !is_label(name) || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
                let message = format!(
                    "is {name:?}, expected the name of a Service: lower case letters, digits and -, a letter first, at most {LABEL}"
                );
                self.error(&format!("{field}.name"), message);
            }
            let twin = gateways[..index]
                .iter()
                .find(|other| other.name == *name && other.namespace == *namespace);
            if let Some(twin) = twin {
                let message = format!(
                    "is {name:?} in namespace {namespace}, which {} has already",
                    twin.field
                );
                self.problems.push(Problem::error(
                    self.subject,
                    format!("{field}.name"),
                    "Duplicate",
                    message,
                ));
            }
            if gateway.values.ports.is_empty() && !gateway.values.custom_service {
                self.error(
                    &format!("{field}.k8s.service.ports"),
                    "is empty, expected a port at least".to_owned(),
                );
            }
            self.scaling(field, gateway.scaling(), &gateway.k8s);
        }
    }

    fn scaling(&mut self, field: &str, scaling: Scaling, k8s: &Map<String, Value>) {
        if scaling.has_autoscaler() && scaling.min > scaling.max {
            let Scaling { min, max, .. } = scaling;
            let message =
                format!("has minReplicas {min} above maxReplicas {max}, expected at most {max}");
            self.error(&format!("{field}.k8s.hpaSpec"), message);
        }
        let given = |name: &str| k8s.get(name).is_some_and(|value| !is_empty(value));
        if given("replicaCount") && scaling.has_autoscaler() {
            let message = "has no effect while there is an autoscaler, which owns the number of replicas; set hpaSpec, or autoscaleEnabled: false in the values";
            self.warning(
                &format!("{field}.k8s.replicaCount"),
                NO_EFFECT,
                message.to_owned(),
            );
        }
        if given("hpaSpec") && !scaling.has_autoscaler() {
            let message = "has no effect, autoscaleEnabled is false in the values";
            self.warning(
                &format!("{field}.k8s.hpaSpec"),
                NO_EFFECT,
                message.to_owned(),
            );
        }
        if given("podDisruptionBudget") && !scaling.spares_one() {
            let message = "has no effect with a single replica, since such a budget would keep its node from being drained; set hpaSpec.minReplicas to 2 or more";
            self.warning(
                &format!("{field}.k8s.podDisruptionBudget"),
                NO_EFFECT,
                message.to_owned(),
            );
        }
    }

    fn error(&mut self, field: &str, message: String) {
        self.problems
            .push(Problem::error(self.subject, field, INVALID, message));
    }

    fn warning(&mut self, field: &str, reason: &str, message: String) {
        self.problems
            .push(Problem::warning(self.subject, field, reason, message));
    }

    fn unsupported(&mut self, field: &str, what: &str) {
        self.problems.push(unsupported(self.subject, field, what));
    }
}

fn unsupported(subject: &ObjectRef, field: &str, what: &str) -> Problem {
    let message = format!("is understood but {what} is not built yet, nothing is installed for it");
    Problem::warning(subject, field, UNSUPPORTED, message)
}

/// The CNI plugin is asked for.
fn without_cni(subject: &ObjectRef, field: &str) -> Problem {
    let problem = unsupported(subject, field, "the CNI plugin");
    Problem {
        message: format!("{}; pods are injected as if it were there", problem.message),
        ..problem
    }
}

/// A field that upstream knows and that nothing here reads.
pub(super) fn idle(subject: &ObjectRef, field: &str) -> Problem {
    let message = "is understood and changes nothing yet";
    Problem::warning(subject, field, UNSUPPORTED, message)
}

/// Says nothing: what is off or empty needs no warning.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
