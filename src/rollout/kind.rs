//! The kinds of objects that an installation can consist of: a static table, so that nothing
//! depends on API discovery. A kind that `install` renders and that is missing here cannot be
//! applied; a test of the operator compares the two.

use base::ObjectRef;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::{Api, Client};

/// When an object of a kind goes while an installation is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teardown {
    /// At once: what runs, what intercepts requests, what scales.
    First,
    /// When nothing of [`Teardown::First`] is left: what the running pods still need.
    Last,
    /// Never: users' objects depend on it.
    Kept,
}

/// How much of an object has to be watched to judge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Its metadata.
    Metadata,
    /// Its status too.
    Status,
}

/// One kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// `apps/v1` …
    pub api_version: &'static str,
    /// `Deployment` …
    pub kind: &'static str,
    /// `deployments` …
    pub plural: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// When it goes.
    pub teardown: Teardown,
    /// What is watched of it.
    pub depth: Depth,
}

const fn kind(
    api_version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
    teardown: Teardown,
) -> Kind {
    Kind {
        api_version,
        kind,
        plural,
        namespaced,
        teardown,
        depth: Depth::Metadata,
    }
}

const fn with_status(kind: Kind) -> Kind {
    Kind {
        depth: Depth::Status,
        ..kind
    }
}

const RBAC: &str = "rbac.authorization.k8s.io/v1";
const ADMISSION: &str = "admissionregistration.k8s.io/v1";
/// The kind whose `failurePolicy` is istiod's.
pub(crate) const VALIDATING: &str = "ValidatingWebhookConfiguration";

/// Every kind, webhooks first: that is the order in which a teardown deletes, and a webhook
/// without its server would refuse the pods of everyone else.
#[rustfmt::skip]
pub const KINDS: &[Kind] = &[
    kind(ADMISSION, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", false, Teardown::First),
    kind(ADMISSION, VALIDATING, "validatingwebhookconfigurations", false, Teardown::First),
    kind(ADMISSION, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", false, Teardown::First),
    kind(ADMISSION, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", false, Teardown::First),
    kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true, Teardown::First),
    kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", true, Teardown::First),
    with_status(kind("apps/v1", "Deployment", "deployments", true, Teardown::First)),
    kind("v1", "Service", "services", true, Teardown::First),
    kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", true, Teardown::First),
    kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", true, Teardown::Last),
    kind("v1", "ConfigMap", "configmaps", true, Teardown::Last),
    kind(RBAC, "RoleBinding", "rolebindings", true, Teardown::Last),
    kind(RBAC, "ClusterRoleBinding", "clusterrolebindings", false, Teardown::Last),
    kind(RBAC, "Role", "roles", true, Teardown::Last),
    kind(RBAC, "ClusterRole", "clusterroles", false, Teardown::Last),
    kind("v1", "ServiceAccount", "serviceaccounts", true, Teardown::Last),
    with_status(kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", false, Teardown::Kept)),
];

impl Kind {
    /// The entry for an object, when there is one.
    pub fn of(reference: &ObjectRef) -> Option<&'static Kind> {
        KINDS
            .iter()
            .find(|kind| kind.kind == reference.kind && kind.api_version == reference.api_version)
    }

    /// Position in [`KINDS`].
    pub fn rank(&self) -> usize {
        KINDS
            .iter()
            .position(|kind| kind == self)
            .unwrap_or(KINDS.len())
    }

    /// What kube's dynamic API needs to know.
    pub fn api_resource(&self) -> ApiResource {
        let (group, version) = self
            .api_version
            .split_once('/')
            .unwrap_or(("", self.api_version));
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: self.api_version.to_owned(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }

    /// The API through which `reference`, an object of this kind, is written.
    pub fn api(&self, client: &Client, reference: &ObjectRef) -> Api<DynamicObject> {
        let resource = self.api_resource();
        match &reference.namespace {
            Some(namespace) if self.namespaced => {
                Api::namespaced_with(client.clone(), namespace, &resource)
            }
            _ => Api::all_with(client.clone(), &resource),
        }
    }

    /// The reference of an object of this kind.
    pub fn reference(&self, namespace: Option<String>, name: String) -> ObjectRef {
        ObjectRef {
            api_version: self.api_version.to_owned(),
            kind: self.kind.to_owned(),
            namespace: namespace.filter(|_| self.namespaced),
            name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KINDS, Teardown};

    #[test]
    fn webhooks_go_before_what_serves_them_and_accounts_last() {
        let rank = |name: &str| {
            KINDS
                .iter()
                .find(|kind| kind.kind == name)
                .expect("a kind of the table")
                .rank()
        };
        assert!(rank("MutatingWebhookConfiguration") < rank("Deployment"));
        assert!(rank("Deployment") < rank("ClusterRoleBinding"));
        assert!(rank("ClusterRole") < rank("ServiceAccount"));
    }

    #[test]
    fn custom_resource_definitions_are_the_only_kept_kind() {
        let kept: Vec<_> = KINDS
            .iter()
            .filter(|kind| kind.teardown == Teardown::Kept)
            .map(|kind| kind.kind)
            .collect();
        assert_eq!(kept, ["CustomResourceDefinition"]);
    }

    #[test]
    fn each_kind_stands_once() {
        for kind in KINDS {
            let same = KINDS.iter().filter(|other| other.kind == kind.kind);
            assert_eq!(same.count(), 1, "{}", kind.kind);
        }
    }
}
