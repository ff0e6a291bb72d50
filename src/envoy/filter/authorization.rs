//! AuthorizationPolicies as filters of role-based access control: one for AUDIT, DENY and ALLOW each,
//! in this order, about requests or about connections.

mod rule;
mod term;
mod text;

use api::security::authorization_policy::{Action, AuthorizationPolicy};
use api::snapshot::Object;
use mesh::Scope;
use proto::envoy::config::listener::v3::Filter;
use proto::envoy::config::rbac::v3 as rbac;
use proto::envoy::extensions::filters::http::rbac::v3 as http;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use proto::envoy::extensions::filters::network::rbac::v3 as network;
use proto::pack::Pack;

use super::order::filter;
use crate::listener::filter_chain;
use rule::Reading;

/// Names of the filters.
pub(super) const HTTP: &str = "envoy.filters.http.rbac";
pub(super) const NETWORK: &str = "envoy.filters.network.rbac";
/// Prefix of the statistics of filters about connections.
pub(super) const CONNECTIONS: &str = "tcp.";

/// What policies are about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Requests,
    Connections,
}

/// Policies of one action.
pub(super) struct Built {
    /// Those in force; absent when no policy is.
    pub(super) rules: Option<rbac::Rbac>,
    /// Those that only tell what they would do.
    pub(super) shadow: Option<rbac::Rbac>,
}

/// Filters about requests.
pub(super) fn requests(scope: &Scope) -> Vec<HttpFilter> {
    let built = built(scope, Layer::Requests);
    let made = built.map(|(built, shadow_rules_stat_prefix)| {
        let config = http::Rbac {
            rules: built.rules,
            shadow_rules: built.shadow,
            shadow_rules_stat_prefix,
            ..Default::default()
        };
        filter(HTTP, config.pack())
    });
    made.collect()
}

/// Filters about connections.
pub(super) fn connections(scope: &Scope) -> Vec<Filter> {
    let built = built(scope, Layer::Connections);
    let made = built.map(|(built, shadow_rules_stat_prefix)| {
        let config = network::Rbac {
            rules: built.rules,
            shadow_rules: built.shadow,
            shadow_rules_stat_prefix,
            stat_prefix: CONNECTIONS.to_owned(),
            ..Default::default()
        };
        filter_chain::of(NETWORK, config.pack())
    });
    made.collect()
}

/// What each action that has policies gives, with the prefix of its statistics.
fn built(scope: &Scope, layer: Layer) -> impl Iterator<Item = (Built, String)> {
    let actions = [Action::Audit, Action::Deny, Action::Allow];
    actions.into_iter().filter_map(move |action| {
        let mut policies = scope.security.of_action(action).peekable();
        policies.peek()?;
        let made = build(scope, policies, action, layer, "");
        // Upstream reads the action of rules that are not there as the first of its kind.
        let prefix = match (&made.shadow, action) {
            (Some(_), Action::Deny) => "istio_dry_run_deny_",
            (Some(_), Action::Audit) => "",
            _ => "istio_dry_run_allow_",
        };
        Some((made, prefix.to_owned()))
    })
}

/// Policies of an action, each rule under its name behind `prefix`.
pub(super) fn build<'a>(
    scope: &Scope,
    policies: impl Iterator<Item = &'a Object<AuthorizationPolicy>>,
    action: Action,
    layer: Layer,
    prefix: &str,
) -> Built {
    let empty = || rbac::Rbac {
        action: match action {
            Action::Allow => rbac::rbac::Action::Allow,
            Action::Deny | Action::Custom => rbac::rbac::Action::Deny,
            Action::Audit => rbac::rbac::Action::Log,
        } as i32,
        ..Default::default()
    };
    let mut made = Built {
        rules: None,
        shadow: None,
    };
    for policy in policies {
        let (namespace, name) = (policy.meta.namespace(), policy.meta.name());
        let into = match policy.spec.dry_run {
            true => made.shadow.get_or_insert_with(empty),
            false => made.rules.get_or_insert_with(empty),
        };
        let mut put = |index: usize, rule: rbac::Policy| {
            let name = format!("{prefix}ns[{namespace}]-policy[{name}]-rule[{index}]");
            into.policies.insert(name, rule);
        };
        if policy.spec.rules.is_empty() {
            put(0, rule::never());
        }
        let reading = Reading {
            scope,
            namespace,
            layer,
            opens: action == Action::Allow,
        };
        for (index, own) in policy.spec.rules.iter().enumerate() {
            if let Some(rule) = reading.policy(own) {
                put(index, rule);
            }
        }
    }
    made
}

#[cfg(test)]
mod tests;
