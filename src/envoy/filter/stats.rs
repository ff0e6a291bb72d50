//! Metrics of traffic by Istio's filter, of which Prometheus reads them. An Envoy without that filter
//! refuses every listener that names it.

use std::collections::BTreeMap;

use mesh::{Flavour, MetricTag, Metrics, Override, Scope};
use proto::contrib::{MetricConfig, StatsConfig};
use proto::google::protobuf::Any;
use proto::pack::Pack;

use crate::listener::filter_chain::Side;
use crate::parts::span;

/// The filters' settings: one per provider that is told of calls on this side.
pub(crate) fn all(scope: &Scope, side: Side) -> Vec<Any> {
    match scope.flavour {
        Flavour::IstioProxy => {
            let metrics = side.reports(scope).metrics.iter();
            metrics.map(|metrics| of(metrics, side)).collect()
        }
        Flavour::Stock => Vec::new(),
    }
}

/// What comes from outside of the workload may have any Host header.
fn of(metrics: &Metrics, side: Side) -> Any {
    StatsConfig {
        disable_host_header_fallback: side != Side::Outbound,
        tcp_reporting_duration: metrics.interval.and_then(span),
        metrics: metrics.overrides.iter().map(changed).collect(),
    }
    .pack()
}

fn changed(own: &Override) -> MetricConfig {
    let mut dimensions = BTreeMap::new();
    let mut tags_to_remove = Vec::new();
    for (name, tag) in &own.tags {
        match tag {
            MetricTag::Is(value) => drop(dimensions.insert(name.clone(), value.clone())),
            MetricTag::Removed => tags_to_remove.push(name.clone()),
        }
    }
    MetricConfig {
        dimensions,
        name: own.metric.clone(),
        tags_to_remove,
        drop: own.dropped,
    }
}
