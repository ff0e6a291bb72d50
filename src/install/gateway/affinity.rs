//! Where a gateway's pods may run, from the shorthands of the values: architectures, labels of
//! nodes, and pods to keep away from.

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm,
    PodAffinityTerm, PodAntiAffinity, PreferredSchedulingTerm, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::Context;
use crate::values::{AntiAffinity, some, some_of, text};

const ARCHITECTURE: &str = "kubernetes.io/arch";
/// Weight of a preference that nothing else competes with.
const FULL_WEIGHT: i32 = 100;

/// `None` when the values say nothing.
pub(super) fn build(context: Context<'_>) -> Option<Affinity> {
    let affinity = Affinity {
        node_affinity: nodes(context),
        pod_anti_affinity: pods(context),
        ..Default::default()
    };
    (affinity != Affinity::default()).then_some(affinity)
}

fn nodes(context: Context<'_>) -> Option<NodeAffinity> {
    let global = &context.gateway.global;
    let architectures: Vec<_> = global
        .arch
        .iter()
        .filter(|(_, weight)| **weight > 0)
        .collect();
    let own = &context.gateway.values.node_selector;
    let selector = if own.is_empty() {
        &global.default_node_selector
    } else {
        own
    };
    let mut expressions = Vec::new();
    if !global.arch.is_empty() {
        let names = architectures.iter().map(|(name, _)| (*name).clone());
        expressions.push(is_in(ARCHITECTURE, names.collect()));
    }
    for (key, value) in selector {
        expressions.push(is_in(key, vec![text(value)]));
    }
    if expressions.is_empty() {
        return None;
    }
    let preferred: Vec<_> = architectures
        .iter()
        .map(|(name, weight)| PreferredSchedulingTerm {
            weight: **weight,
            preference: term(vec![is_in(ARCHITECTURE, vec![(*name).clone()])]),
        })
        .collect();
    Some(NodeAffinity {
        required_during_scheduling_ignored_during_execution: Some(NodeSelector {
            node_selector_terms: vec![term(expressions)],
        }),
        preferred_during_scheduling_ignored_during_execution: some_of(&preferred),
    })
}

fn pods(context: Context<'_>) -> Option<PodAntiAffinity> {
    let values = &context.gateway.values;
    let required: Vec<_> = values
        .pod_anti_affinity_label_selector
        .iter()
        .map(away_from)
        .collect();
    let preferred: Vec<_> = values
        .pod_anti_affinity_term_label_selector
        .iter()
        .map(|pods| WeightedPodAffinityTerm {
            pod_affinity_term: PodAffinityTerm {
                namespaces: None,
                ..away_from(pods)
            },
            weight: FULL_WEIGHT,
        })
        .collect();
    let found = PodAntiAffinity {
        required_during_scheduling_ignored_during_execution: some_of(&required),
        preferred_during_scheduling_ignored_during_execution: some_of(&preferred),
    };
    (found != PodAntiAffinity::default()).then_some(found)
}

fn away_from(pods: &AntiAffinity) -> PodAffinityTerm {
    PodAffinityTerm {
        label_selector: Some(LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: pods.key.clone(),
                operator: pods.operator.clone(),
                values: listed(&pods.values),
            }]),
            ..Default::default()
        }),
        namespaces: listed(&pods.namespaces),
        topology_key: pods.topology_key.clone(),
        ..Default::default()
    }
}

fn listed(text: &str) -> Option<Vec<String>> {
    Some(some(text)?.split(',').map(str::to_owned).collect())
}

fn is_in(key: &str, values: Vec<String>) -> NodeSelectorRequirement {
    NodeSelectorRequirement {
        key: key.to_owned(),
        operator: "In".to_owned(),
        values: Some(values),
    }
}

fn term(expressions: Vec<NodeSelectorRequirement>) -> NodeSelectorTerm {
    NodeSelectorTerm {
        match_expressions: Some(expressions),
        ..Default::default()
    }
}
