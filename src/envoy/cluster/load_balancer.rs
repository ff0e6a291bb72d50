//! Load balancing policy of a cluster.

use api::networking::destination_rule::{ConsistentHash, LoadBalancer};
use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::cluster::v3::cluster::{
    LbConfig, LbPolicy, LeastRequestLbConfig, MaglevLbConfig, RingHashLbConfig, RoundRobinLbConfig,
    SlowStartConfig,
};
use proto::envoy::config::core::v3::RuntimeDouble;
use proto::envoy::r#type::v3::Percent;

use crate::parts::{long, span};

pub(super) fn apply(cluster: &mut Cluster, settings: Option<&LoadBalancer>) {
    cluster.lb_policy = LbPolicy::LeastRequest as i32;
    let Some(settings) = settings else {
        return;
    };
    if let Some(hash) = &settings.consistent_hash {
        return consistent_hash(cluster, hash);
    }
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
}

fn slow_start(settings: &LoadBalancer) -> Option<SlowStartConfig> {
    let warmup = settings.warmup.clone().unwrap_or_default();
    let window = warmup.duration.or(settings.warmup_duration_secs)?;
    Some(SlowStartConfig {
        slow_start_window: span(window),
        // The key is upstream's; it can be set to nothing.
        aggression: warmup.aggression.map(|aggression| RuntimeDouble {
            default_value: aggression,
            runtime_key: "(".to_owned(),
        }),
        min_weight_percent: warmup.minimum_percent.map(|value| Percent { value }),
    })
}

fn consistent_hash(cluster: &mut Cluster, hash: &ConsistentHash) {
    if let Some(maglev) = &hash.maglev {
        cluster.lb_policy = LbPolicy::Maglev as i32;
        cluster.lb_config = maglev.table_size.map(|size| {
            LbConfig::MaglevLbConfig(MaglevLbConfig {
                table_size: long(size),
            })
        });
        return;
    }
    cluster.lb_policy = LbPolicy::RingHash as i32;
    let ring = hash.ring_hash.as_ref().map(|ring| ring.minimum_ring_size);
    let size = ring.or(hash.minimum_ring_size).unwrap_or(1024);
    cluster.lb_config = Some(LbConfig::RingHashLbConfig(RingHashLbConfig {
        minimum_ring_size: long(size),
        ..Default::default()
    }));
}
