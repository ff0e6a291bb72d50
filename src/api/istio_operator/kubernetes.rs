//! The form of Kubernetes types that an IstioOperator embeds, from the schemas that come with
//! their Rust types. Required fields are not asked for: a setting is merged onto a whole object.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::api::apps::v1::DeploymentStrategy;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerSpec;
use k8s_openapi::api::core::v1::{
    Affinity, EnvVar, PodSecurityContext, Probe, ResourceRequirements, ServiceSpec, Toleration,
    Volume, VolumeMount,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

/// Schemas by name, `io.k8s.api.core.v1.Affinity` and so on.
pub(super) static SCHEMAS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let mut generator = SchemaGenerator::default();
    add::<Affinity>(&mut generator);
    add::<EnvVar>(&mut generator);
    add::<HorizontalPodAutoscalerSpec>(&mut generator);
    add::<PodDisruptionBudgetSpec>(&mut generator);
    add::<Probe>(&mut generator);
    add::<ResourceRequirements>(&mut generator);
    add::<ServiceSpec>(&mut generator);
    add::<PodSecurityContext>(&mut generator);
    add::<DeploymentStrategy>(&mut generator);
    add::<Toleration>(&mut generator);
    add::<Volume>(&mut generator);
    add::<VolumeMount>(&mut generator);
    generator.take_definitions(true).into_iter().collect()
});

fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

/// The schema that a `$ref` points to.
pub(super) fn referenced(reference: &str) -> Option<&'static Value> {
    SCHEMAS.get(reference.rsplit('/').next().unwrap_or(reference))
}
