//! Load balancing policy of a cluster, and how it takes distance into account.

use api::networking::destination_rule::{ConsistentHash, LoadBalancer};
use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::cluster::v3::cluster::common_lb_config::{
    LocalityConfigSpecifier, LocalityWeightedLbConfig, ZoneAwareLbConfig,
};
use proto::envoy::config::cluster::v3::cluster::{
    LbConfig, LbPolicy, LeastRequestLbConfig, MaglevLbConfig, RingHashLbConfig, RoundRobinLbConfig,
    SlowStartConfig,
};
use proto::envoy::config::core::v3::RuntimeDouble;
use proto::envoy::r#type::v3::Percent;

use super::distance::Wish;
use crate::parts::{long, span};

/// The policy of clusters whose endpoints Envoy chooses.
pub(super) fn apply(cluster: &mut Cluster, settings: Option<&LoadBalancer>) {
    cluster.lb_policy = LbPolicy::LeastRequest as i32;
    let Some(settings) = settings else {
        return;
    };
    let slow_start = slow_start(settings);
    match settings.simple.as_deref() {
        Some("RANDOM") => cluster.lb_policy = LbPolicy::Random as i32,
        Some("ROUND_ROBIN") => {
            cluster.lb_policy = LbPolicy::RoundRobin as i32;
            cluster.lb_config = slow_start.map(|slow| {
                LbConfig::RoundRobinLbConfig(RoundRobinLbConfig {
                    slow_start_config: Some(slow),
                })
            });
        }
        _ => {
            cluster.lb_config = slow_start.map(|slow| {
                LbConfig::LeastRequestLbConfig(LeastRequestLbConfig {
                    slow_start_config: Some(slow),
                    ..Default::default()
                })
            });
        }
    }
    if let Some(hash) = &settings.consistent_hash {
        consistent_hash(cluster, hash);
    }
}

/// What Redis needs, whatever settings say: the key decides.
pub(super) fn shard(cluster: &mut Cluster) {
    cluster.lb_policy = LbPolicy::Maglev as i32;
    cluster.lb_config = None;
}

fn slow_start(settings: &LoadBalancer) -> Option<SlowStartConfig> {
    if let Some(warmup) = &settings.warmup {
        return Some(SlowStartConfig {
            slow_start_window: warmup.duration.and_then(span),
            // The key is upstream's; it can be set to nothing.
            aggression: Some(RuntimeDouble {
                default_value: warmup.aggression.unwrap_or(1.0),
                runtime_key: "(".to_owned(),
            }),
            min_weight_percent: Some(Percent {
                value: warmup.minimum_percent.unwrap_or(10.0),
            }),
        });
    }
    Some(SlowStartConfig {
        slow_start_window: span(settings.warmup_duration_secs?),
        ..Default::default()
    })
}

fn consistent_hash(cluster: &mut Cluster, hash: &ConsistentHash) {
    if let Some(maglev) = &hash.maglev {
        cluster.lb_policy = LbPolicy::Maglev as i32;
        if let Some(size) = maglev.table_size.filter(|size| *size > 0) {
            cluster.lb_config = Some(LbConfig::MaglevLbConfig(MaglevLbConfig {
                table_size: long(size),
            }));
        }
        return;
    }
    cluster.lb_policy = LbPolicy::RingHash as i32;
    let size = match &hash.ring_hash {
        Some(ring) => Some(ring.minimum_ring_size).filter(|size| *size > 0),
        None => Some(
            hash.minimum_ring_size
                .filter(|size| *size > 0)
                .unwrap_or(1024),
        ),
    };
    if let Some(size) = size {
        cluster.lb_config = Some(LbConfig::RingHashLbConfig(RingHashLbConfig {
            minimum_ring_size: long(size),
            ..Default::default()
        }));
    }
}

/// How distance counts beside the priorities of endpoints.
pub(super) fn distance(cluster: &mut Cluster, wish: &Wish<'_>) {
    let ejects = cluster.outlier_detection.is_some();
    let specifier = match wish {
        Wish::None => None,
        Wish::Settings { settings, always } => {
            // Without ejection nothing would ever fail over; and weights of localities would only
            // disturb the policy.
            let fails_over = (*always || ejects)
                && (!settings.failover.is_empty() || !settings.failover_priority.is_empty());
            (fails_over || !settings.distribute.is_empty()).then_some(
                LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig {}),
            )
        }
        Wish::Zones(settings) => {
            let off = settings.enabled == Some(false);
            Some(LocalityConfigSpecifier::ZoneAwareLbConfig(
                ZoneAwareLbConfig {
                    routing_enabled: off.then(Percent::default),
                    min_cluster_size: settings.min_cluster_size.and_then(|size| long(size.into())),
                    ..Default::default()
                },
            ))
        }
    };
    let common = cluster.common_lb_config.get_or_insert_default();
    common.locality_config_specifier = specifier;
}
