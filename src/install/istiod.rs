//! The Pilot component: everything that istiod consists of, one file per noun.

mod config;
mod deployment;
mod rbac;
mod remote;
mod service;
mod stable;
mod webhooks;

use base::names::port;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::labels::{self, Labels, labels, metadata, with};
use crate::pod::pull_secrets;
use crate::resolve::Pilot;
use crate::scaling::{Scaling, autoscaler, budget};
use crate::values::{some, texts};
use crate::{Component, Install, Object};

pub(crate) use deployment::{CONTAINER, trust_bundle};
pub(crate) use webhooks::injector;

/// What every builder of the component is given.
#[derive(Clone, Copy)]
struct Context<'a> {
    pilot: &'a Pilot,
    install: &'a Install,
}

/// Whether pods of istiod run in the cluster that `install` is for.
pub(crate) fn runs_here(pilot: &Pilot, install: &Install) -> bool {
    Context { pilot, install }.runs_here()
}

/// All objects of the component.
pub(crate) fn build(pilot: &Pilot, install: &Install) -> Vec<Object> {
    let context = Context { pilot, install };
    let global = &pilot.values.global;
    let mut objects = Vec::new();
    if global.namespaced() {
        objects.extend(config::build(context));
        objects.extend(remote::build(context));
        if context.configures() {
            objects.push(Object::of(&context.service_account()));
            objects.extend(rbac::namespaced(context));
        }
        if context.runs_here() {
            objects.push(Object::of(&deployment::build(context)));
            objects.extend(service::build(context));
            objects.extend(context.scaling());
        }
        if global.network_policy.enabled {
            objects.push(Object::of(&service::network_policy(context)));
        }
    }
    if global.cluster_wide() {
        objects.extend(rbac::cluster(context));
        objects.extend(webhooks::build(context));
        if pilot.values.experimental.stable_validation_policy && context.runs_here() {
            objects.extend(stable::build(context));
        }
    }
    if install.default_tag && install.default_tag().is_some() {
        objects.extend(default_tag(context));
    }
    objects
}

/// What makes this revision the cluster's default. It outlives a change of the specification that
/// would leave the cluster without a default; only the end of the installation removes it.
fn default_tag(context: Context<'_>) -> Vec<Object> {
    let mut objects = webhooks::of_default_tag(context);
    let tags = &context.pilot.values.revision_tags;
    if context.runs_here() && !tags.iter().any(|tag| tag == "default") {
        objects.push(service::tagged(context, "default"));
    }
    for object in &mut objects {
        object.body["metadata"]["labels"][base::labels::NOT_PRUNED] = "true".into();
    }
    objects
}

impl Pilot {
    /// How many istiod there are.
    pub(crate) fn scaling(&self) -> Scaling {
        let values = &self.values;
        Scaling {
            autoscale: values.autoscale_enabled,
            min: values.autoscale_min,
            max: values.autoscale_max,
            replicas: values.replica_count,
        }
    }
}

impl Context<'_> {
    /// Whether pods of istiod run in this cluster.
    fn runs_here(self) -> bool {
        let remote = &self.pilot.values.istiod_remote;
        !remote.enabled || remote.enabled_local_injector_istiod
    }

    /// Whether istiod, wherever it runs, takes its configuration from this cluster.
    fn configures(self) -> bool {
        self.runs_here() || self.pilot.values.global.config_cluster
    }

    /// `istiod`, or `istiod-<revision>`.
    fn name(self) -> String {
        self.install.revisioned("istiod")
    }

    /// Labels of objects that belong to this revision.
    fn labels(self) -> Labels {
        labels::component(
            labels::released("istiod", self.install),
            Component::Pilot,
            self.install,
        )
    }

    /// Labels of objects that carry no revision: accounts and roles.
    fn plain_labels(self) -> Labels {
        with(
            labels::released("istiod", self.install),
            [("app", "istiod")],
        )
    }

    /// Metadata of an object beside istiod's pods.
    fn metadata(self, labels: Labels) -> ObjectMeta {
        metadata(self.name(), &self.pilot.namespace, labels)
    }

    /// Labels by which a Service or a budget finds the pods of this revision. The default one is
    /// told from others by `istio: pilot`, which only its pods have.
    fn pods(self) -> Labels {
        match self.install.revision.as_str() {
            "" => labels([("app", "istiod"), ("istio", "pilot")]),
            revision => labels([("app", "istiod"), (base::labels::REVISION, revision)]),
        }
    }

    /// Where proxies find istiod. An istiod elsewhere is reached through a Service that bears no
    /// revision.
    fn discovery_address(self) -> String {
        let values = &self.pilot.values;
        let remote = &values.istiod_remote;
        let service = match values.global.remote_pilot_address.as_str() {
            "" => self.name(),
            _ if remote.enabled && self.runs_here() => "istiod-remote".to_owned(),
            _ => "istiod".to_owned(),
        };
        format!("{service}.{}.svc:{}", self.pilot.namespace, port::XDS)
    }

    fn service_account(self) -> ServiceAccount {
        let values = &self.pilot.values;
        ServiceAccount {
            metadata: ObjectMeta {
                annotations: texts(&values.service_account_annotations),
                ..metadata(
                    self.name(),
                    &values.global.istio_namespace,
                    self.plain_labels(),
                )
            },
            image_pull_secrets: pull_secrets(&values.global.image_pull_secrets),
            ..Default::default()
        }
    }

    fn scaling(self) -> Vec<Object> {
        let values = &self.pilot.values;
        let scaling = self.pilot.scaling();
        let mut objects = Vec::new();
        if scaling.has_autoscaler() {
            let labels = with(self.labels(), [("app", "istiod")]);
            let mut hpa = autoscaler(
                self.metadata(labels),
                scaling,
                values.cpu.target_average_utilization,
                values.memory.target_average_utilization,
            );
            if let Some(spec) = &mut hpa.spec {
                spec.behavior = values.autoscale_behavior.clone();
            }
            objects.push(Object::of(&hpa));
        }
        if scaling.spares_one() && values.global.default_pod_disruption_budget.enabled {
            let labels = with(self.labels(), [("app", "istiod"), ("istio", "pilot")]);
            let max = values.pdb.max_unavailable.clone();
            let min = values.pdb.min_available.clone().filter(|_| max.is_none());
            let mut pdb = budget(self.metadata(labels), self.pods(), min, max);
            if let Some(spec) = &mut pdb.spec {
                spec.unhealthy_pod_eviction_policy =
                    some(&values.pdb.unhealthy_pod_eviction_policy);
            }
            objects.push(Object::of(&pdb));
        }
        objects
    }
}
