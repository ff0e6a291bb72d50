//! Values shared by all components: `global`.

use k8s_openapi::api::core::v1::Toleration;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use super::{Analysis, Logging, MultiCluster, NamedIn, Resources, Sds, Sts, Switch, Texts, text};

/// Values shared by all components.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Global {
    pub(crate) arch: BTreeMap<String, i32>,
    pub(crate) ca_address: String,
    pub(crate) cert_signers: Vec<String>,
    pub(crate) config_cluster: bool,
    pub(crate) config_validation: bool,
    pub(crate) default_node_selector: Texts,
    pub(crate) default_pod_disruption_budget: Switch,
    pub(crate) default_resources: Resources,
    pub(crate) default_tolerations: Vec<Toleration>,
    #[serde(rename = "enableReaderRBAC")]
    pub(crate) enable_reader_rbac: Option<bool>,
    pub(crate) external_istiod: bool,
    pub(crate) hub: String,
    pub(crate) image_pull_policy: String,
    pub(crate) image_pull_secrets: Vec<String>,
    pub(crate) ip_families: Vec<String>,
    pub(crate) ip_family_policy: String,
    pub(crate) istio_namespace: String,
    pub(crate) istiod: Analysis,
    pub(crate) log_as_json: bool,
    pub(crate) logging: Logging,
    #[serde(rename = "meshID")]
    pub(crate) mesh_id: String,
    pub(crate) mesh_networks: Map<String, Value>,
    pub(crate) mount_mtls_certs: bool,
    pub(crate) multi_cluster: MultiCluster,
    pub(crate) network: String,
    pub(crate) network_policy: Switch,
    pub(crate) omit_sidecar_injector_config_map: bool,
    pub(crate) operator_manage_webhooks: bool,
    pub(crate) pilot_cert_provider: String,
    pub(crate) platform: String,
    pub(crate) priority_class_name: String,
    pub(crate) proxy: Proxy,
    pub(crate) reader_service_account: NamedIn,
    pub(crate) remote_pilot_address: String,
    pub(crate) resource_scope: String,
    pub(crate) sds: Sds,
    pub(crate) sts: Sts,
    pub(crate) tag: Value,
    pub(crate) tracer: Map<String, Value>,
    pub(crate) trust_bundle_name: String,
    pub(crate) variant: String,
}

/// `global.proxy`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Proxy {
    pub(crate) auto_inject: String,
    pub(crate) cluster_domain: String,
    pub(crate) component_log_level: String,
    pub(crate) image: String,
    pub(crate) log_level: String,
    pub(crate) tracer: String,
    pub(crate) variant: String,
}

impl Global {
    /// An image: `image` itself when it is a whole reference, else from hub, tag and variant.
    pub(crate) fn image(&self, image: &str, hub: &str, tag: &str, variant: &str) -> String {
        if image.contains('/') {
            return image.to_owned();
        }
        let own = text(&self.tag);
        let hub = if hub.is_empty() { &self.hub } else { hub };
        let tag = if tag.is_empty() { own.as_str() } else { tag };
        let variant = if variant.is_empty() {
            self.variant.as_str()
        } else {
            variant
        };
        let separator = if variant.is_empty() { "" } else { "-" };
        format!("{hub}/{image}:{tag}{separator}{variant}")
    }

    /// The name of this cluster in the mesh.
    pub(crate) fn cluster(&self) -> &str {
        match self.multi_cluster.cluster_name.as_str() {
            "" => "Kubernetes",
            name => name,
        }
    }

    /// Whether objects with a namespace are rendered (`resourceScope`).
    pub(crate) fn namespaced(&self) -> bool {
        matches!(self.resource_scope.as_str(), "all" | "namespace")
    }

    /// Whether objects without a namespace are rendered (`resourceScope`).
    pub(crate) fn cluster_wide(&self) -> bool {
        matches!(self.resource_scope.as_str(), "all" | "cluster")
    }
}
