//! Short forms for roles and bindings. Which rules there are stands with whom they are for.

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::Object;

/// To read.
pub(crate) const READ: &[&str] = &["get", "list", "watch"];
/// To do everything with an object.
pub(crate) const WRITE: &[&str] = &[
    "get", "watch", "list", "update", "patch", "create", "delete",
];

/// One rule: API groups, resources, verbs.
pub(crate) type Rule<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str]);

/// A ServiceAccount: name and namespace. Without a namespace it is that of the binding.
pub(crate) type Account<'a> = (&'a str, Option<&'a str>);

/// A ClusterRole and what binds it to an account, of the same name.
pub(crate) fn cluster(
    metadata: ObjectMeta,
    rules: Vec<PolicyRule>,
    account: Account<'_>,
) -> [Object; 2] {
    let name = metadata.name.clone().unwrap_or_default();
    [
        Object::of(&ClusterRole {
            metadata: metadata.clone(),
            rules: Some(rules),
            ..Default::default()
        }),
        Object::of(&ClusterRoleBinding {
            metadata,
            role_ref: reference("ClusterRole", name),
            subjects: Some(vec![subject(account)]),
        }),
    ]
}

/// A Role and what binds it to an account, of the same name.
pub(crate) fn namespaced(
    metadata: ObjectMeta,
    rules: Vec<PolicyRule>,
    account: Account<'_>,
) -> [Object; 2] {
    let name = metadata.name.clone().unwrap_or_default();
    [
        Object::of(&Role {
            metadata: metadata.clone(),
            rules: Some(rules),
        }),
        Object::of(&RoleBinding {
            metadata,
            role_ref: reference("Role", name),
            subjects: Some(vec![subject(account)]),
        }),
    ]
}

/// Rules as the Kubernetes types.
pub(crate) fn rules(rules: &[Rule<'_>]) -> Vec<PolicyRule> {
    let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
    rules
        .iter()
        .map(|(groups, resources, verbs)| PolicyRule {
            api_groups: Some(owned(groups)),
            resources: Some(owned(resources)),
            verbs: owned(verbs),
            ..Default::default()
        })
        .collect()
}

/// A rule for the objects of these names only.
pub(crate) fn named(rule: Rule<'_>, names: &[String]) -> Vec<PolicyRule> {
    let mut rules = rules(&[rule]);
    for rule in &mut rules {
        rule.resource_names = Some(names.to_vec());
    }
    rules
}

fn reference(kind: &str, name: String) -> RoleRef {
    RoleRef {
        api_group: "rbac.authorization.k8s.io".to_owned(),
        kind: kind.to_owned(),
        name,
    }
}

fn subject((name, namespace): Account<'_>) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: name.to_owned(),
        namespace: namespace.map(str::to_owned),
        ..Default::default()
    }
}
