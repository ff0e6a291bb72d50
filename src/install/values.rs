//! The merged values as types: what the builders read. Which layer a value came from is no longer
//! visible here; what is missing or `null` is empty, and empty means "leave it out".

mod global;

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use k8s_openapi::api::core::v1::{
    Affinity, Container, EnvVar, SeccompProfile, Toleration, TopologySpreadConstraint, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) use global::Global;

/// Values that a person may write as text, number or flag, and that reach a pod as text.
pub(crate) type Texts = BTreeMap<String, Value>;

/// What the control plane's objects depend on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Istiod {
    pub(crate) affinity: Option<Affinity>,
    pub(crate) autoscale_behavior: Option<HorizontalPodAutoscalerBehavior>,
    pub(crate) autoscale_enabled: bool,
    pub(crate) autoscale_max: i32,
    pub(crate) autoscale_min: i32,
    pub(crate) base: Validation,
    pub(crate) config_map: bool,
    pub(crate) cpu: Utilization,
    pub(crate) crl_config_map_name: String,
    pub(crate) default_revision: String,
    pub(crate) deployment_annotations: Texts,
    pub(crate) deployment_labels: Texts,
    pub(crate) env: Texts,
    pub(crate) env_var_from: Vec<EnvVar>,
    pub(crate) experimental: Experimental,
    pub(crate) extra_container_args: Vec<String>,
    pub(crate) global: Global,
    pub(crate) hub: String,
    pub(crate) image: String,
    pub(crate) init_containers: Vec<Container>,
    pub(crate) ip_families: Vec<String>,
    pub(crate) ip_family_policy: String,
    pub(crate) istiod_remote: Remote,
    #[serde(rename = "jwksResolverExtraRootCA")]
    pub(crate) jwks_resolver_extra_root_ca: String,
    pub(crate) keepalive_max_server_connection_age: String,
    pub(crate) memory: Utilization,
    pub(crate) node_selector: Texts,
    pub(crate) pdb: Pdb,
    pub(crate) platform: String,
    pub(crate) pod_annotations: Texts,
    pub(crate) pod_labels: Texts,
    pub(crate) replica_count: i32,
    pub(crate) resources: Resources,
    pub(crate) revision_tags: Vec<String>,
    pub(crate) rolling_max_surge: Option<IntOrString>,
    pub(crate) rolling_max_unavailable: Option<IntOrString>,
    pub(crate) seccomp_profile: Option<SeccompProfile>,
    pub(crate) service_account_annotations: Texts,
    pub(crate) service_annotations: Texts,
    pub(crate) sidecar_injector_webhook: Injector,
    pub(crate) sidecar_injector_webhook_annotations: Texts,
    pub(crate) tag: Value,
    pub(crate) taint: Taint,
    pub(crate) telemetry: Telemetry,
    pub(crate) termination_message_policy: String,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) topology_spread_constraints: Vec<TopologySpreadConstraint>,
    pub(crate) trace_sampling: Option<f64>,
    pub(crate) traffic_distribution: String,
    pub(crate) trusted_ztunnel_name: String,
    pub(crate) trusted_ztunnel_namespace: String,
    pub(crate) variant: String,
    pub(crate) volume_mounts: Vec<VolumeMount>,
    pub(crate) volumes: Vec<Volume>,
}

/// What the Base component's objects depend on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Shared {
    pub(crate) base: Validation,
    pub(crate) default_revision: String,
    pub(crate) global: Global,
}

/// What one gateway's objects depend on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Gateway {
    pub(crate) additional_containers: Vec<Container>,
    pub(crate) autoscale_enabled: bool,
    pub(crate) autoscale_max: i32,
    pub(crate) autoscale_min: i32,
    pub(crate) config_volumes: Vec<MountedVolume>,
    pub(crate) cpu: Utilization,
    pub(crate) custom_service: bool,
    pub(crate) env: Texts,
    pub(crate) external_traffic_policy: String,
    pub(crate) hub: String,
    pub(crate) ingress_ports: Vec<Port>,
    pub(crate) ip_families: Vec<String>,
    pub(crate) ip_family_policy: String,
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(rename = "loadBalancerIP")]
    pub(crate) load_balancer_ip: String,
    pub(crate) load_balancer_source_ranges: Vec<String>,
    pub(crate) node_selector: Texts,
    pub(crate) pod_annotations: Texts,
    pub(crate) pod_anti_affinity_label_selector: Vec<AntiAffinity>,
    pub(crate) pod_anti_affinity_term_label_selector: Vec<AntiAffinity>,
    pub(crate) ports: Vec<Port>,
    pub(crate) replica_count: i32,
    pub(crate) resources: Resources,
    pub(crate) rolling_max_surge: Option<IntOrString>,
    pub(crate) rolling_max_unavailable: Option<IntOrString>,
    pub(crate) run_as_root: bool,
    pub(crate) secret_volumes: Vec<MountedVolume>,
    pub(crate) service_account: Annotated,
    pub(crate) service_annotations: Texts,
    pub(crate) tag: Value,
    pub(crate) tolerations: Vec<Toleration>,
    #[serde(rename = "type")]
    pub(crate) type_: String,
}

/// `requests` and `limits`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Resources {
    pub(crate) limits: Texts,
    pub(crate) requests: Texts,
}

/// A port of a gateway's Service, and of its pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Port {
    pub(crate) app_protocol: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) node_port: Option<i32>,
    pub(crate) port: i32,
    pub(crate) protocol: Option<String>,
    pub(crate) target_port: Option<IntOrString>,
}

/// A Secret or a ConfigMap in a gateway's pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct MountedVolume {
    pub(crate) config_map_name: String,
    pub(crate) mount_path: String,
    pub(crate) name: String,
    pub(crate) secret_name: String,
}

/// A pod that a gateway's pods keep away from; lists are separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct AntiAffinity {
    pub(crate) key: String,
    pub(crate) namespaces: String,
    pub(crate) operator: String,
    pub(crate) topology_key: String,
    pub(crate) values: String,
}

/// `pdb`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Pdb {
    pub(crate) max_unavailable: Option<IntOrString>,
    pub(crate) min_available: Option<IntOrString>,
    pub(crate) unhealthy_pod_eviction_policy: String,
}

/// `sidecarInjectorWebhook`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Injector {
    pub(crate) always_inject_selector: Vec<Value>,
    pub(crate) default_templates: Vec<String>,
    pub(crate) enable_namespaces_by_default: bool,
    pub(crate) injected_annotations: Texts,
    pub(crate) never_inject_selector: Vec<Value>,
    pub(crate) reinvocation_policy: String,
    pub(crate) templates: Map<String, Value>,
}

/// `telemetry`: whether the built-in metrics of proxies are on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Telemetry {
    pub(crate) enabled: bool,
    pub(crate) v2: TelemetryV2,
}

/// `telemetry.v2`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct TelemetryV2 {
    pub(crate) enabled: bool,
    pub(crate) prometheus: Switch,
    pub(crate) stackdriver: Switch,
}

/// `base`: which CRDs are left out, and where objects are validated when not by istiod's own
/// Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Validation {
    #[serde(rename = "enableCRDTemplates")]
    pub(crate) enable_crd_templates: Option<bool>,
    #[serde(rename = "enableIstioConfigCRDs")]
    pub(crate) enable_istio_config_crds: Option<bool>,
    #[serde(rename = "excludedCRDs")]
    pub(crate) excluded_crds: Vec<String>,
    #[serde(rename = "validationCABundle")]
    pub(crate) ca_bundle: String,
    #[serde(rename = "validationFailurePolicy")]
    pub(crate) failure_policy: String,
    #[serde(rename = "validationURL")]
    pub(crate) url: String,
}

/// `istiodRemote`: an istiod that runs elsewhere, and where pods are injected then.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Remote {
    pub(crate) enabled: bool,
    #[serde(rename = "enabledLocalInjectorIstiod")]
    pub(crate) enabled_local_injector_istiod: bool,
    #[serde(rename = "injectionCABundle")]
    pub(crate) injection_ca_bundle: String,
    #[serde(rename = "injectionPath")]
    pub(crate) injection_path: String,
    #[serde(rename = "injectionURL")]
    pub(crate) injection_url: String,
}

/// `taint`: istiod removes it from nodes on which the CNI plugin is ready.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Taint {
    pub(crate) enabled: bool,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

macro_rules! small {
    ($(#[$doc:meta] $name:ident { $($field:ident: $type:ty),+ })+) => {$(
        #[$doc]
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(crate) struct $name { $(pub(crate) $field: $type),+ }
    )+};
}

small! {
    /// `{enabled}`.
    Switch { enabled: bool }
    /// `cpu` or `memory` of an autoscaler; percent of the request.
    Utilization { target_average_utilization: i32 }
    /// `experimental`.
    Experimental { stable_validation_policy: bool }
    /// `global.istiod`.
    Analysis { enable_analysis: bool }
    /// `global.logging`.
    Logging { level: String }
    /// `global.multiCluster`.
    MultiCluster { cluster_name: String }
    /// `global.readerServiceAccount`.
    NamedIn { name: String, namespace: String }
    /// `global.sds`.
    Sds { token: Token }
    /// `global.sds.token`.
    Token { aud: String }
    /// `global.sts`.
    Sts { service_port: i32 }
    /// `serviceAccount`.
    Annotated { annotations: Texts }
}

/// A value as text, as it would stand in YAML.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// All values as texts, `None` when there are none.
pub(crate) fn texts(values: &Texts) -> Option<BTreeMap<String, String>> {
    let texts: BTreeMap<_, _> = values
        .iter()
        .map(|(key, value)| (key.clone(), text(value)))
        .collect();
    (!texts.is_empty()).then_some(texts)
}

/// `None` for an empty text.
pub(crate) fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// `None` for an empty list.
pub(crate) fn some_of<T: Clone>(items: &[T]) -> Option<Vec<T>> {
    (!items.is_empty()).then(|| items.to_vec())
}

impl Resources {
    /// What is given, or what `default` gives.
    pub(crate) fn or<'a>(&'a self, default: &'a Resources) -> &'a Resources {
        if self == &Resources::default() {
            default
        } else {
            self
        }
    }

    /// As the Kubernetes type.
    pub(crate) fn requirements(&self) -> k8s_openapi::api::core::v1::ResourceRequirements {
        let quantities = |values: &Texts| {
            let quantities: BTreeMap<_, _> = values
                .iter()
                .map(|(name, value)| (name.clone(), text(value)))
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name, Quantity(value)))
                .collect();
            (!quantities.is_empty()).then_some(quantities)
        };
        k8s_openapi::api::core::v1::ResourceRequirements {
            limits: quantities(&self.limits),
            requests: quantities(&self.requests),
            ..Default::default()
        }
    }
}
