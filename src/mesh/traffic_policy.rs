//! DestinationRules: which one applies to a host, and which settings to a subset and port.

use std::sync::Arc;

use api::networking::destination_rule::{DestinationRule, Subset, TrafficPolicy};
use api::snapshot::{Labels, Object, Snapshot, selects};
use base::ObjectRef;

use crate::names::{is_wildcard, resolve, subset_of};
use crate::{Service, Visibility};

/// DestinationRules of one namespace for one host, merged.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The objects, oldest first.
    pub origin: Vec<ObjectRef>,
    /// Their namespace.
    pub namespace: String,
    /// Full host name or wildcard.
    pub host: String,
    /// Who sees it.
    pub visibility: Visibility,
    /// Workloads that it is for.
    pub selector: Option<Labels>,
    /// For all subsets and ports.
    pub policy: TrafficPolicy,
    /// Named groups of endpoints.
    pub subsets: Vec<Subset>,
}

/// Settings that apply to one port of one subset.
pub type Policy = TrafficPolicy;

impl Rule {
    /// One subset.
    pub fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == name)
    }

    /// The settings of a port: those of the port replace all others, those of the subset replace
    /// the rule's one by one.
    pub fn settings(&self, subset: Option<&Subset>, port: u16) -> Policy {
        let whole = overridden(&Policy::default(), &self.policy, port);
        match subset.and_then(|subset| subset.traffic_policy.as_ref()) {
            Some(policy) => overridden(&whole, policy, port),
            None => whole,
        }
    }
}

fn overridden(below: &Policy, above: &TrafficPolicy, port: u16) -> Policy {
    let own = above
        .port_level_settings
        .iter()
        .find(|setting| setting.port.number == u32::from(port));
    if let Some(own) = own {
        return Policy {
            load_balancer: own.load_balancer.clone(),
            connection_pool: own.connection_pool.clone(),
            outlier_detection: own.outlier_detection.clone(),
            tls: own.tls.clone(),
            port_level_settings: Vec::new(),
        };
    }
    Policy {
        load_balancer: above
            .load_balancer
            .clone()
            .or_else(|| below.load_balancer.clone()),
        connection_pool: above
            .connection_pool
            .clone()
            .or_else(|| below.connection_pool.clone()),
        outlier_detection: above
            .outlier_detection
            .clone()
            .or_else(|| below.outlier_detection.clone()),
        tls: above.tls.clone().or_else(|| below.tls.clone()),
        port_level_settings: Vec::new(),
    }
}

/// All rules, oldest first; those of one namespace, host, exportTo and selector are one.
pub(crate) fn collect(snapshot: &Snapshot, domain: &str) -> Vec<Arc<Rule>> {
    let mut found: Vec<&Arc<Object<DestinationRule>>> =
        snapshot.destination_rules.values().collect();
    found.sort_by_key(|object| object.meta.age());
    let mut rules: Vec<Rule> = Vec::new();
    for object in found {
        let namespace = object.meta.namespace();
        let spec = &object.spec;
        let default = &snapshot.mesh.default_destination_rule_export_to;
        let rule = Rule {
            origin: vec![object.meta.reference.clone()],
            namespace: namespace.to_owned(),
            host: resolve(&spec.host, namespace, domain),
            visibility: Visibility::of(&spec.export_to, default, namespace),
            selector: spec
                .workload_selector
                .as_ref()
                .map(|selector| selector.labels.clone()),
            policy: spec.traffic_policy.clone().unwrap_or_default(),
            subsets: spec.subsets.clone(),
        };
        let same = rules.iter_mut().find(|other| {
            other.namespace == rule.namespace
                && other.host == rule.host
                && other.visibility == rule.visibility
                && other.selector == rule.selector
        });
        match same {
            Some(older) => join(older, rule),
            None => rules.push(rule),
        }
    }
    rules.into_iter().map(Arc::new).collect()
}

fn join(older: &mut Rule, rule: Rule) {
    older.origin.extend(rule.origin);
    for subset in rule.subsets {
        if older.subset(&subset.name).is_none() {
            older.subsets.push(subset);
        }
    }
    if older.policy == TrafficPolicy::default() {
        older.policy = rule.policy;
    }
}

/// The rule that a client applies to a service: of its own namespace, else of the service's, else
/// of the root namespace; the most specific host in each.
pub(crate) fn of_service(
    rules: &[Arc<Rule>],
    service: &Service,
    client: &str,
    labels: &Labels,
    root: &str,
) -> Option<Arc<Rule>> {
    let from = |namespace: &str| {
        let candidates = rules.iter().filter(|rule| {
            rule.namespace == namespace
                && rule.visibility.includes(client)
                && subset_of(&service.id.host, &rule.host)
        });
        let candidates: Vec<&Arc<Rule>> = candidates.collect();
        let best = candidates
            .iter()
            .map(|rule| (!is_wildcard(&rule.host), rule.host.len()))
            .max()?;
        let mut of_host = candidates
            .into_iter()
            .filter(|rule| (!is_wildcard(&rule.host), rule.host.len()) == best);
        let selected = of_host.clone().find(|rule| {
            let selector = rule.selector.as_ref();
            selector.is_some_and(|selector| selects(selector, labels))
        });
        // Rules for other workloads still hide those of the namespaces behind.
        Some(
            selected
                .or_else(|| of_host.find(|rule| rule.selector.is_none()))
                .cloned(),
        )
    };
    let own = if client == root { None } else { from(client) };
    own.or_else(|| from(&service.id.namespace))
        .or_else(|| from(root))
        .flatten()
}
