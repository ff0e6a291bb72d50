//! How many pods a Deployment has: its HorizontalPodAutoscaler, its PodDisruptionBudget and its
//! replicas, for istiod and gateways alike.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget, ResourceMetricSource,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::labels::Labels;

/// The part of the values that scaling depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scaling {
    /// Whether an autoscaler is wanted.
    pub(crate) autoscale: bool,
    /// Fewest pods under the autoscaler.
    pub(crate) min: i32,
    /// Most pods under the autoscaler.
    pub(crate) max: i32,
    /// Pods without an autoscaler; 0 leaves it to the API server.
    pub(crate) replicas: i32,
}

impl Scaling {
    /// Whether an autoscaler is rendered. It then owns the number of replicas.
    pub(crate) fn has_autoscaler(self) -> bool {
        self.autoscale && self.min > 0 && self.max > 0
    }

    /// `spec.replicas`: left out under an autoscaler, which would be fought otherwise.
    pub(crate) fn replicas(self) -> Option<i32> {
        (!self.autoscale && self.replicas > 0).then_some(self.replicas)
    }

    /// Whether there are pods enough that one may be away; a budget for a single pod would only
    /// keep its node from being drained.
    pub(crate) fn spares_one(self) -> bool {
        if self.autoscale {
            self.min > 1
        } else {
            self.replicas > 1
        }
    }
}

/// The autoscaler of the Deployment of the same name; percent of requested CPU, and of memory
/// where one is given.
pub(crate) fn autoscaler(
    metadata: ObjectMeta,
    scaling: Scaling,
    cpu: i32,
    memory: i32,
) -> HorizontalPodAutoscaler {
    let deployment = metadata.name.clone().unwrap_or_default();
    HorizontalPodAutoscaler {
        metadata,
        spec: Some(HorizontalPodAutoscalerSpec {
            min_replicas: Some(scaling.min),
            max_replicas: scaling.max,
            metrics: Some(
                [("cpu", cpu), ("memory", memory)]
                    .into_iter()
                    .filter(|(_, percent)| *percent > 0)
                    .map(|(resource, percent)| utilization(resource, percent))
                    .collect(),
            ),
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: deployment,
            },
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A budget for the pods with these labels.
pub(crate) fn budget(
    metadata: ObjectMeta,
    pods: Labels,
    min_available: Option<IntOrString>,
    max_unavailable: Option<IntOrString>,
) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata,
        spec: Some(PodDisruptionBudgetSpec {
            min_available,
            max_unavailable,
            selector: Some(LabelSelector {
                match_labels: Some(pods),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn utilization(resource: &str, percent: i32) -> MetricSpec {
    MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource {
            name: resource.to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(percent),
                ..Default::default()
            },
        }),
        ..Default::default()
    }
}
