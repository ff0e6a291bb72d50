//! The gateway components: ingress and egress are rendered alike and differ in their values.
//! One gateway at a time.

mod affinity;
mod deployment;
mod service;
mod volumes;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::labels::{self, Labels, metadata};
use crate::pod::pull_secrets;
use crate::rbac;
use crate::resolve::Gateway;
use crate::scaling::{Scaling, autoscaler, budget};
use crate::values::texts;
use crate::{Component, Install, Object};

pub(crate) use deployment::CONTAINER;

/// What every builder of a gateway is given.
#[derive(Clone, Copy)]
struct Context<'a> {
    gateway: &'a Gateway,
    install: &'a Install,
}

/// All objects of one gateway.
pub(crate) fn build(gateway: &Gateway, install: &Install) -> Vec<Object> {
    let context = Context { gateway, install };
    let mut objects = vec![Object::of(&context.service_account())];
    objects.extend(rbac::namespaced(
        metadata(
            format!("{}-sds", gateway.name),
            &gateway.namespace,
            context.component_labels(),
        ),
        rbac::rules(&[(&[""], &["secrets"], rbac::READ)]),
        (&context.account(), None),
    ));
    objects.push(Object::of(&deployment::build(context)));
    if !gateway.values.custom_service {
        objects.push(Object::of(&service::build(context)));
    }
    if gateway.global.network_policy.enabled {
        objects.push(Object::of(&service::network_policy(context)));
    }
    objects.extend(context.scaling());
    objects
}

impl Gateway {
    /// How many pods the gateway has.
    pub(crate) fn scaling(&self) -> Scaling {
        let values = &self.values;
        Scaling {
            autoscale: values.autoscale_enabled,
            min: values.autoscale_min,
            max: values.autoscale_max,
            replicas: values.replica_count,
        }
    }

    /// The name that gateways of this kind have when nobody gives them another.
    fn application(&self) -> &'static str {
        match self.component {
            Component::EgressGateways => "istio-egressgateway",
            _ => "istio-ingressgateway",
        }
    }
}

impl Context<'_> {
    fn account(self) -> String {
        format!("{}-service-account", self.gateway.name)
    }

    /// Labels without those that select the gateway's pods.
    fn component_labels(self) -> Labels {
        labels::component(
            labels::released(self.gateway.application(), self.install),
            self.gateway.component,
            self.install,
        )
    }

    /// Labels of the gateway's objects. The user's own come first: what the component is called
    /// is not theirs to change.
    fn labels(self) -> Labels {
        let mut labels = self.gateway.values.labels.clone();
        labels.extend(self.component_labels());
        labels
    }

    fn metadata(self) -> ObjectMeta {
        metadata(&self.gateway.name, &self.gateway.namespace, self.labels())
    }

    fn service_account(self) -> ServiceAccount {
        ServiceAccount {
            metadata: ObjectMeta {
                annotations: texts(&self.gateway.values.service_account.annotations),
                ..metadata(self.account(), &self.gateway.namespace, self.labels())
            },
            image_pull_secrets: pull_secrets(&self.gateway.global.image_pull_secrets),
            ..Default::default()
        }
    }

    fn scaling(self) -> Vec<Object> {
        let scaling = self.gateway.scaling();
        let values = &self.gateway.values;
        let mut objects = Vec::new();
        if scaling.has_autoscaler() {
            let cpu = values.cpu.target_average_utilization;
            objects.push(Object::of(&autoscaler(self.metadata(), scaling, cpu, 0)));
        }
        if scaling.spares_one() && self.gateway.global.default_pod_disruption_budget.enabled {
            let min = k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(1);
            let pods = values.labels.clone();
            objects.push(Object::of(&budget(self.metadata(), pods, Some(min), None)));
        }
        objects
    }
}
