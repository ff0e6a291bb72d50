//! What is wished of distance: by the rule, else by the service, else by the mesh.

use std::borrow::Cow;

use api::networking::destination_rule::{LoadBalancer, LocalityLb, ZoneAwareLb};
use api::snapshot::{Labels, TrafficDistribution};
use mesh::{Scope, Service};

use crate::endpoint::Distance;
use crate::endpoint::locality::with_topology;

/// What is wished of distance.
pub(super) enum Wish<'a> {
    /// Nothing.
    None,
    /// Localities in order, or by weight.
    Settings {
        settings: Cow<'a, LocalityLb>,
        /// Even where no failure is noticed by ejection: the health of endpoints tells.
        always: bool,
    },
    /// Zones as Envoy balances them.
    Zones(&'a ZoneAwareLb),
}

impl<'a> Wish<'a> {
    pub(super) fn of(
        scope: &'a Scope,
        service: &Service,
        balancer: Option<&'a LoadBalancer>,
    ) -> Self {
        let settings = |settings: &'a LocalityLb| match settings.enabled {
            Some(false) => Wish::None,
            _ => Wish::Settings {
                settings: Cow::Borrowed(settings),
                always: false,
            },
        };
        if let Some(balancer) = balancer {
            if let Some(zones) = &balancer.zone_aware_lb_setting {
                return Wish::Zones(zones);
            }
            if let Some(own) = &balancer.locality_lb_setting {
                return settings(own);
            }
        }
        let mut order = vec![
            "topology.istio.io/network",
            "topology.kubernetes.io/region",
            "topology.kubernetes.io/zone",
        ];
        let wished = match service.traffic_distribution {
            Some(TrafficDistribution::SameZone) => true,
            Some(TrafficDistribution::SameNode) => {
                order.extend(["topology.istio.io/subzone", "kubernetes.io/hostname"]);
                true
            }
            Some(TrafficDistribution::Any) | None => false,
        };
        if wished {
            return Wish::Settings {
                settings: Cow::Owned(LocalityLb {
                    failover_priority: order.into_iter().map(str::to_owned).collect(),
                    ..LocalityLb::default()
                }),
                always: true,
            };
        }
        if let Some(zones) = &scope.config.zone_aware_lb_setting {
            return Wish::Zones(zones);
        }
        match &scope.config.locality_lb_setting {
            Some(own) => settings(own),
            None => Wish::None,
        }
    }

    /// How endpoints are ordered by it. `ejects` says whether failures are noticed.
    pub(super) fn distance(&self, scope: &Scope, ejects: bool) -> Distance {
        let workload = &scope.workload;
        let labels = |order: &[String]| match order {
            [] => Labels::new(),
            _ => with_topology(
                &workload.labels,
                &workload.locality,
                &workload.cluster,
                &workload.network,
                &workload.node,
            ),
        };
        match self {
            Wish::Settings { settings, always }
                if *always || ejects || !settings.distribute.is_empty() =>
            {
                Distance::Settings {
                    labels: labels(&settings.failover_priority),
                    settings: LocalityLb::clone(settings),
                    locality: workload.locality.clone(),
                }
            }
            Wish::Zones(settings) if settings.enabled != Some(false) => Distance::Zones {
                failover: settings.failover.clone(),
                failover_priority: settings.failover_priority.clone(),
                region: workload.locality.region.clone(),
                labels: labels(&settings.failover_priority),
            },
            _ => Distance::Ignored,
        }
    }
}
