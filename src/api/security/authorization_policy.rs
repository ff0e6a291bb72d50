//! AuthorizationPolicy: who may call what.

use serde::Deserialize;

use super::TargetRef;
use crate::networking::WorkloadSelector;

/// `spec` of an AuthorizationPolicy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthorizationPolicy {
    /// Workloads; all of the namespace when absent.
    pub selector: Option<WorkloadSelector>,
    /// What it is for instead, in the older form.
    pub target_ref: Option<TargetRef>,
    /// What it is for instead.
    pub target_refs: Vec<TargetRef>,
    /// What becomes of a call that a rule holds of.
    pub action: Action,
    /// Calls that it is about: those that any of them holds of.
    pub rules: Vec<Rule>,
    /// Who decides, for [`Action::Custom`].
    pub provider: Option<Provider>,
    /// Whether it only tells what it would do: annotation `istio.io/dry-run`.
    #[serde(skip)]
    pub dry_run: bool,
    /// Why it cannot be read. What is left of it then is closed.
    #[serde(skip)]
    pub unreadable: Option<String>,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Action {
    /// It passes; a call that no policy of this kind holds of does not.
    #[default]
    Allow,
    /// It is refused.
    Deny,
    /// It is recorded.
    Audit,
    /// A provider is asked.
    Custom,
}

/// Who decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Provider {
    /// Name of an extension provider of the mesh.
    pub name: String,
}

/// Conditions of which all must hold; without any it holds of every call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// Callers: one of these.
    pub from: Vec<From>,
    /// What is called: one of these.
    pub to: Vec<To>,
    /// Everything else: all of these.
    pub when: Vec<Condition>,
}

/// An entry of `from`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct From {
    /// The caller.
    pub source: Option<Source>,
}

/// An entry of `to`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct To {
    /// What is called.
    pub operation: Option<Operation>,
}

/// A caller. Every list that is not empty must hold, by one of its values; those that begin with
/// `not_`, by none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "each is named as the field that users write")]
pub struct Source {
    pub principals: Vec<String>,
    pub not_principals: Vec<String>,
    pub request_principals: Vec<String>,
    pub not_request_principals: Vec<String>,
    pub namespaces: Vec<String>,
    pub not_namespaces: Vec<String>,
    pub service_accounts: Vec<String>,
    pub not_service_accounts: Vec<String>,
    pub trust_domains: Vec<String>,
    pub not_trust_domains: Vec<String>,
    pub ip_blocks: Vec<String>,
    pub not_ip_blocks: Vec<String>,
    pub remote_ip_blocks: Vec<String>,
    pub not_remote_ip_blocks: Vec<String>,
}

/// What is called; lists as in [`Source`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "each is named as the field that users write")]
pub struct Operation {
    pub hosts: Vec<String>,
    pub not_hosts: Vec<String>,
    pub ports: Vec<String>,
    pub not_ports: Vec<String>,
    pub methods: Vec<String>,
    pub not_methods: Vec<String>,
    pub paths: Vec<String>,
    pub not_paths: Vec<String>,
}

/// A condition on an attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// The attribute: `source.ip`, `request.headers[x-tenant]`.
    pub key: String,
    /// It must have one of these, if there are any.
    pub values: Vec<String>,
    /// It must have none of these.
    pub not_values: Vec<String>,
}

impl AuthorizationPolicy {
    /// What it is for, when no labels say it.
    pub fn targets(&self) -> &[TargetRef] {
        TargetRef::all(&self.target_refs, self.target_ref.as_ref())
    }
}
