//! Short forms for parts of pods that both istiod and gateways have.

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    LocalObjectReference, ObjectFieldSelector, ProjectedVolumeSource, SecretVolumeSource,
    ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::api::core::v1::{ContainerPort, PodTemplateSpec, SecurityContext};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::labels::Labels;
use crate::values::{Texts, text};

/// Seconds that a token for the CA is valid: twelve hours, renewed by the kubelet.
const TOKEN_SECONDS: i64 = 43_200;

/// What a Deployment of ours consists of.
pub(crate) struct Workload {
    pub(crate) metadata: ObjectMeta,
    /// Absent where an autoscaler decides.
    pub(crate) replicas: Option<i32>,
    pub(crate) selector: Labels,
    pub(crate) max_surge: Option<IntOrString>,
    pub(crate) max_unavailable: Option<IntOrString>,
    pub(crate) template: PodTemplateSpec,
}

impl From<Workload> for Deployment {
    fn from(workload: Workload) -> Deployment {
        Deployment {
            metadata: workload.metadata,
            spec: Some(DeploymentSpec {
                replicas: workload.replicas,
                selector: LabelSelector {
                    match_labels: Some(workload.selector),
                    ..Default::default()
                },
                strategy: Some(DeploymentStrategy {
                    rolling_update: Some(RollingUpdateDeployment {
                        max_surge: workload.max_surge,
                        max_unavailable: workload.max_unavailable,
                    }),
                    ..Default::default()
                }),
                template: workload.template,
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

/// A variable with a value.
pub(crate) fn env(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.into()),
        ..Default::default()
    }
}

/// A variable from a field of the pod.
pub(crate) fn env_field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: path.to_owned(),
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A variable for each value.
pub(crate) fn env_each(values: &Texts) -> impl Iterator<Item = EnvVar> + '_ {
    values.iter().map(|(name, value)| env(name, text(value)))
}

/// Variables by name: the last one given of a name wins, in the place of the first. The API
/// server would refuse an object in which a name stands twice.
pub(crate) fn unique(env: Vec<EnvVar>) -> Vec<EnvVar> {
    let mut found: Vec<EnvVar> = Vec::with_capacity(env.len());
    for variable in env {
        match found.iter_mut().find(|other| other.name == variable.name) {
            Some(other) => *other = variable,
            None => found.push(variable),
        }
    }
    found
}

/// A TCP port of a container.
pub(crate) fn port(number: i32, name: Option<&str>) -> ContainerPort {
    ContainerPort {
        container_port: number,
        name: name.map(str::to_owned),
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    }
}

/// A volume at a path.
pub(crate) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        ..Default::default()
    }
}

/// A volume at a path, not to be written.
pub(crate) fn read_only(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        read_only: Some(true),
        ..mount(volume, path)
    }
}

/// An empty directory on the node's disk.
pub(crate) fn empty_dir(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Default::default()
    }
}

/// A Secret that need not exist.
pub(crate) fn optional_secret(name: &str, secret: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            optional: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A ConfigMap; `optional` when pods may start without it.
pub(crate) fn config_map(name: &str, config_map: &str, optional: Option<bool>) -> Volume {
    Volume {
        name: name.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map.to_owned(),
            optional,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A service account token for the mesh's CA.
pub(crate) fn token(audience: &str) -> Volume {
    projected(
        "istio-token",
        VolumeProjection {
            service_account_token: Some(ServiceAccountTokenProjection {
                audience: Some(audience.to_owned()),
                expiration_seconds: Some(TOKEN_SECONDS),
                path: "istio-token".to_owned(),
            }),
            ..Default::default()
        },
    )
}

/// A volume of one projected source.
pub(crate) fn projected(name: &str, source: VolumeProjection) -> Volume {
    Volume {
        name: name.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(vec![source]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// What every container of the mesh gives up.
pub(crate) fn unprivileged() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            ..Default::default()
        }),
        read_only_root_filesystem: Some(true),
        ..Default::default()
    }
}

/// Secrets to pull images with; `None` when there are none.
pub(crate) fn pull_secrets(names: &[String]) -> Option<Vec<LocalObjectReference>> {
    let secrets: Vec<_> = names
        .iter()
        .map(|name| LocalObjectReference { name: name.clone() })
        .collect();
    (!secrets.is_empty()).then_some(secrets)
}
