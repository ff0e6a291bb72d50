//! AuthorizationPolicies as filters of role-based access control: one for AUDIT, DENY and ALLOW each,
//! in this order, about requests or about connections.

mod rule;
mod rules;
mod term;
mod text;

use api::security::authorization_policy::{Action, AuthorizationPolicy};
use api::snapshot::Object;
use mesh::Scope;
use proto::envoy::config::listener::v3::Filter;
use proto::envoy::config::rbac::v3::rbac::Action as Verdict;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;

use super::order::filter;
use crate::listener::filter_chain;
use rule::Reading;
use rules::Policy;
pub(super) use rules::{CONNECTIONS, Enforced, Rules};

/// Names of the filters.
pub(super) const HTTP: &str = "envoy.filters.http.rbac";
pub(super) const NETWORK: &str = "envoy.filters.network.rbac";

/// What policies are about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Requests,
    Connections,
}

/// Filters about requests.
pub(super) fn requests(scope: &Scope) -> Vec<HttpFilter> {
    let made = enforced(scope, Layer::Requests);
    made.map(|own| filter(HTTP, own.pack(Layer::Requests)))
        .collect()
}

/// Filters about connections.
pub(super) fn connections(scope: &Scope) -> Vec<Filter> {
    let made = enforced(scope, Layer::Connections);
    made.map(|own| filter_chain::of(NETWORK, own.pack(Layer::Connections)))
        .collect()
}

/// What each action that has policies gives.
fn enforced(scope: &Scope, layer: Layer) -> impl Iterator<Item = Enforced> {
    let actions = [Action::Audit, Action::Deny, Action::Allow];
    actions.into_iter().filter_map(move |action| {
        let mut policies = scope.security.of_action(action).peekable();
        policies.peek()?;
        let made = build(scope, policies, action, layer, "");
        // Upstream reads the action of rules that are not there as the first of its kind.
        let shadow_prefix = match (&made.shadow, action) {
            (Some(_), Action::Deny) => "istio_dry_run_deny_",
            (Some(_), Action::Audit) => "",
            _ => "istio_dry_run_allow_",
        };
        Some(Enforced {
            shadow_prefix,
            ..made
        })
    })
}

/// Policies of an action, each rule under its name behind `prefix`.
pub(super) fn build<'a>(
    scope: &Scope,
    policies: impl Iterator<Item = &'a Object<AuthorizationPolicy>>,
    action: Action,
    layer: Layer,
    prefix: &str,
) -> Enforced {
    let verdict = match action {
        Action::Allow => Verdict::Allow,
        Action::Deny | Action::Custom => Verdict::Deny,
        Action::Audit => Verdict::Log,
    };
    let mut made = Enforced::default();
    for policy in policies {
        let (namespace, name) = (policy.meta.namespace(), policy.meta.name());
        let into = match policy.spec.dry_run {
            true => &mut made.shadow,
            false => &mut made.rules,
        };
        let into = into.get_or_insert_with(|| Rules::new(verdict));
        let mut put = |index: usize, rule: Policy| {
            let name = format!("{prefix}ns[{namespace}]-policy[{name}]-rule[{index}]");
            into.add(name, rule);
        };
        if policy.spec.rules.is_empty() {
            put(0, Policy::never());
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
