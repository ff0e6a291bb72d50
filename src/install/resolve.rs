//! Merges profile, defaults and the user's specification into one [`Install`], and judges it.
//! The order of layers is that of upstream: default profile, named profile, the caller's hub and
//! tag, the user's spec; then spec fields become values, under the user's own values.

mod form;
mod inert;
mod judge;
mod layers;
mod mesh_config;

pub use inert::READ_BY_DISCOVERY;
pub use mesh_config::IDLE_OF_PROXIES;

use ::base::{ObjectRef, Problem, Severity};
use api::istio_operator::IstioOperator;
use serde_json::{Map, Value};

use crate::manifest::build_and_judge;
use crate::merge::map_at;
use crate::values::{self, Texts};
use crate::{Component, Host, hosted, profile};

/// What the caller knows beside the specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Registry and path of images when the specification names none.
    pub hub: String,
    /// Tag of images when the specification names none.
    pub tag: String,
    /// Version of the program that renders; the value of `operator.istio.io/version`.
    pub version: String,
    /// Major and minor version of the API server, when one was asked.
    pub kubernetes: Option<(u32, u32)>,
    /// Whose pods host the control plane, when it has none of its own.
    pub host: Option<Host>,
}

/// The IstioOperator that owns the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
}

/// An installation with nothing left to decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Install {
    /// How messages name the specification.
    pub subject: ObjectRef,
    /// Whose labels the objects carry; when absent (`manifest generate`) they are marked `unknown`.
    pub owner: Option<Owner>,
    /// Version of the program that renders.
    pub version: String,
    /// Root namespace of the mesh.
    pub istio_namespace: String,
    /// Revision; empty for the default one.
    pub revision: String,
    /// SPIFFE trust domain.
    pub trust_domain: String,
    /// What is understood but not built (reason `Unsupported`), and what is probably not meant.
    pub warnings: Vec<Problem>,
    pub(crate) base: Option<Base>,
    pub(crate) pilot: Option<Pilot>,
    pub(crate) gateways: Vec<Gateway>,
    /// Whose pods host the control plane, when it has none of its own.
    pub(crate) host: Option<Host>,
    /// Whether gateways find a control plane that is not of this installation.
    pub(crate) remote_control_plane: bool,
    /// Whether this revision is what the cluster uses where nobody names one.
    pub(crate) default_tag: bool,
}

/// The Base component, enabled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Base {
    pub(crate) values: values::Shared,
    /// Settings of Kubernetes objects; overlays only.
    pub(crate) k8s: Map<String, Value>,
}

/// The Pilot component, enabled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pilot {
    pub(crate) namespace: String,
    pub(crate) values: values::Istiod,
    /// The values before defaults.
    pub(crate) original: Map<String, Value>,
    /// The values with defaults, as one map.
    pub(crate) merged: Map<String, Value>,
    /// Settings of Kubernetes objects.
    pub(crate) k8s: Map<String, Value>,
}

/// One enabled gateway.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gateway {
    /// Ingress or egress.
    pub(crate) component: Component,
    /// Where the specification has it, for messages.
    pub(crate) field: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) values: values::Gateway,
    pub(crate) global: values::Global,
    /// Environment that the mesh configuration gives to every proxy.
    pub(crate) proxy_metadata: Texts,
    /// Whether the proxy's metrics are offered together with those of its pod.
    pub(crate) merges_metrics: bool,
    /// Whether the mesh's root comes from the cluster's own store of roots.
    pub(crate) trust_bundle_api: bool,
    /// Settings of Kubernetes objects.
    pub(crate) k8s: Map<String, Value>,
}

impl Install {
    /// Whether a component has anything to install.
    pub fn enabled(&self, component: Component) -> bool {
        match component {
            Component::Base => self.base.is_some(),
            Component::Pilot => self.pilot.is_some(),
            gateways => self.gateways.iter().any(|g| g.component == gateways),
        }
    }

    /// Whether it has a control plane that runs in this cluster, and with it a CA.
    pub fn runs_control_plane(&self) -> bool {
        let pilot = self.pilot.as_ref();
        pilot.is_some_and(|pilot| crate::istiod::runs_here(pilot, self))
    }

    /// `namespace/name` of enabled gateways that no control plane would serve: pilot is disabled
    /// and no remote one is named.
    pub fn gateways_without_control_plane(&self) -> Vec<String> {
        if self.pilot.is_some() || self.remote_control_plane {
            return Vec::new();
        }
        self.gateways
            .iter()
            .map(|gateway| format!("{}/{}", gateway.namespace, gateway.name))
            .collect()
    }

    /// Namespaces that the objects live in, sorted; whoever applies them creates these first.
    pub fn namespaces(&self) -> Vec<String> {
        let mut namespaces = vec![self.istio_namespace.clone()];
        namespaces.extend(self.pilot.iter().map(|pilot| pilot.namespace.clone()));
        namespaces.extend(
            self.gateways
                .iter()
                .map(|gateway| gateway.namespace.clone()),
        );
        namespaces.sort();
        namespaces.dedup();
        namespaces
    }

    /// The same without an owner, for objects that people apply themselves.
    pub fn without_owner(mut self) -> Self {
        self.owner = None;
        self
    }

    /// The same as the cluster's default revision: with the webhooks and the Service of tag
    /// `default`, which upstream's installer makes after the rest and `manifest generate` leaves
    /// out. Nothing changes where the specification leaves webhooks to others.
    pub fn with_default_tag(mut self) -> Self {
        self.default_tag = true;
        self
    }

    /// The webhook by which the cluster's default revision is recognised, where this installation
    /// can be that.
    pub fn default_tag(&self) -> Option<ObjectRef> {
        let pilot = self.pilot.as_ref()?;
        let global = &pilot.values.global;
        (!global.operator_manage_webhooks && global.cluster_wide()).then(|| ObjectRef {
            api_version: "admissionregistration.k8s.io/v1".to_owned(),
            kind: "MutatingWebhookConfiguration".to_owned(),
            namespace: None,
            name: crate::istiod::injector("istio-revision-tag-default", &pilot.namespace),
        })
    }

    /// The value of `istio.io/rev`: the revision, or `default`.
    pub fn revision_label(&self) -> &str {
        match self.revision.as_str() {
            "" => "default",
            revision => revision,
        }
    }

    /// A name of this revision: `istiod`, or `istiod-<revision>`.
    pub fn revisioned(&self, name: &str) -> String {
        match self.revision.as_str() {
            "" => name.to_owned(),
            revision => format!("{name}-{revision}"),
        }
    }
}

/// Merges and judges.
///
/// # Errors
/// Every Problem of severity Error that was found; warnings come along.
pub fn resolve(cr: &IstioOperator, seen: &Observed) -> Result<Install, Vec<Problem>> {
    let subject = cr.reference();
    let mut problems = judge::before_merge(&subject, &cr.spec.fields);
    let name = cr.spec.fields.get("profile").and_then(Value::as_str);
    let name = name.filter(|name| !name.is_empty());
    let Some(profile) = profile::named(name.unwrap_or(profile::DEFAULT)) else {
        problems.push(judge::unknown_profile(
            &subject,
            "spec.profile",
            name.unwrap_or_default(),
        ));
        return Err(problems);
    };
    let merged = layers::merge_spec(profile, &cr.spec.fields, seen);
    let mut install = match layers::install(cr, seen, &subject, &merged) {
        Ok(install) => install,
        Err(found) => {
            problems.extend(found);
            return Err(problems);
        }
    };
    problems.extend(judge::cluster(&subject, seen.kubernetes));
    problems.extend(judge::after_merge(&install, &merged));
    let mesh = map_at(&merged, &["values", "meshConfig"]);
    problems.extend(mesh_config::judge(&subject, mesh));
    if seen.host.is_some() {
        problems.extend(hosted::judge(&install));
    }
    let (_, faults) = build_and_judge(&install);
    problems.extend(
        faults
            .into_iter()
            .map(|fault| Problem::error(&subject, fault.field, "OverlayDoesNotFit", fault.message)),
    );
    if problems.iter().any(|p| p.severity == Severity::Error) {
        return Err(problems);
    }
    // That a setting has no effect is said once, whatever the reasons.
    let mut said = std::collections::BTreeSet::new();
    problems.retain(|problem| said.insert((problem.field.clone(), problem.reason.clone())));
    install.warnings = problems;
    Ok(install)
}

#[cfg(test)]
mod tests;
