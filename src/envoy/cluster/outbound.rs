//! Clusters for calls: a port of a service, and each of its subsets.

use api::networking::destination_rule::Subset;
use api::snapshot::Labels;
use base::ObjectRef;
use mesh::{OutboundService, Port, Protocol, Resolution, Scope};
use proto::envoy::config::cluster::v3 as wire;
use proto::envoy::config::core::v3::TypedExtensionConfig;
use proto::envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
use proto::google::protobuf::Duration;
use proto::pack::Pack;

use super::{
    HTTP_OPTIONS, Made, connection_pool, greeting, load_balancer, no_panic, of_type,
    outlier_detection,
};
use super::{protocol_options, tls};
use crate::endpoint::{Distance, EndpointView};
use crate::parts::{ads, number, span};
use crate::{assign, metadata, names};

pub(super) fn of_port(scope: &Scope, service: &OutboundService, port: &Port) -> Vec<Made> {
    let mut made = Vec::new();
    made.extend(one(scope, service, port, None));
    let subsets = service.rule.iter().flat_map(|rule| rule.subsets.iter());
    made.extend(subsets.filter_map(|subset| one(scope, service, port, Some(subset))));
    made
}

fn one(
    scope: &Scope,
    called: &OutboundService,
    port: &Port,
    subset: Option<&Subset>,
) -> Option<Made> {
    let service = &called.service;
    let host = &service.id.host;
    let subset_name = subset.map_or("", |subset| subset.name.as_str());
    let name = names::outbound(port.number, subset_name, host);
    let rule = called.rule.as_deref();
    let policy = rule
        .map(|rule| rule.settings(subset, port.number))
        .unwrap_or_default();
    let simple = policy
        .load_balancer
        .as_ref()
        .and_then(|lb| lb.simple.as_deref());
    let passthrough =
        service.resolution == Resolution::Passthrough || simple == Some("PASSTHROUGH");
    let pool = policy.connection_pool.clone().unwrap_or_default();
    let settings = tls::Settings::of(scope, called, &policy, port, subset_name);
    let http2 = port.protocol.is_http2() || connection_pool::upgrades(scope, &pool, port.protocol);
    let protocol = if http2 && !port.protocol.is_http2() {
        Protocol::Http2
    } else {
        port.protocol
    };
    let (kind, lb) = match service.resolution {
        _ if passthrough => (wire::cluster::DiscoveryType::OriginalDst, None),
        Resolution::Dns => (wire::cluster::DiscoveryType::StrictDns, Some(&policy)),
        Resolution::DnsRoundRobin => (wire::cluster::DiscoveryType::LogicalDns, Some(&policy)),
        _ => (wire::cluster::DiscoveryType::Eds, Some(&policy)),
    };
    let view = EndpointView {
        cluster: name.clone(),
        host: service.id.clone(),
        port: port.name.clone(),
        subset: subset.map_or_else(Labels::new, |subset| subset.labels.clone()),
        cluster_id: scope.workload.cluster.clone(),
        mutual_tls: settings.uses_workload_certificate(),
        modes: scope.modes.clone(),
        unhealthy: policy
            .outlier_detection
            .as_ref()
            .is_none_or(|od| od.min_health_percent <= 0),
        distance: distance(scope, called, &policy),
    };
    let mut options = connection_pool::options(&pool, protocol_options(protocol));
    if let Some(names) = settings.names_from_host() {
        let made = options.get_or_insert_with(connection_pool::http1);
        made.upstream_http_protocol_options = Some(names);
    }
    let mut cluster = wire::Cluster {
        alt_stat_name: format!("{name};"),
        name,
        connect_timeout: connection_pool::connect_timeout(scope, &pool),
        cluster_discovery_type: of_type(kind),
        circuit_breakers: Some(connection_pool::limits(&pool)),
        common_lb_config: Some(no_panic()),
        filters: greeting(scope),
        metadata: Some(described(called, subset)),
        typed_extension_protocol_options: options
            .map(|options| (HTTP_OPTIONS.to_owned(), options.pack()))
            .into_iter()
            .collect(),
        upstream_connection_options: connection_pool::keepalive(scope, &pool),
        ..Default::default()
    };
    match lb {
        None => cluster.lb_policy = wire::cluster::LbPolicy::ClusterProvided as i32,
        Some(policy) => load_balancer::apply(&mut cluster, policy.load_balancer.as_ref()),
    }
    if let Some(outlier) = &policy.outlier_detection {
        outlier_detection::apply(&mut cluster, outlier);
    }
    settings.apply(scope, &mut cluster, http2);
    let mut endpoints = None;
    match kind {
        wire::cluster::DiscoveryType::Eds => {
            cluster.eds_cluster_config = Some(wire::cluster::EdsClusterConfig {
                eds_config: Some(ads()),
                service_name: cluster.name.clone(),
            });
            endpoints = Some(view);
        }
        wire::cluster::DiscoveryType::StrictDns | wire::cluster::DiscoveryType::LogicalDns => {
            // Without an endpoint there is nothing to resolve.
            let known = service.spelled_out.as_deref()?;
            let assignment = assign(&view, known);
            if assignment.endpoints.is_empty() {
                return None;
            }
            cluster.load_assignment = Some(assignment);
            resolve(scope, &mut cluster);
        }
        _ => {}
    }
    let mut origin: Vec<ObjectRef> = vec![service.origin.clone()];
    origin.extend(rule.iter().flat_map(|rule| rule.origin.iter().cloned()));
    Some(Made {
        cluster,
        origin,
        endpoints,
    })
}

fn described(
    called: &OutboundService,
    subset: Option<&Subset>,
) -> proto::envoy::config::core::v3::Metadata {
    let service = &called.service;
    let mut fields = metadata::services(std::iter::once(service.as_ref()));
    if service.external {
        fields.insert("external".to_owned(), metadata::yes());
    }
    if let Some(rule) = &called.rule {
        let path = names::config_path(&rule.origin[0]);
        fields.insert("config".to_owned(), metadata::text(path));
    }
    if let Some(subset) = subset {
        fields.insert("subset".to_owned(), metadata::text(&subset.name));
    }
    metadata::istio(fields)
}

/// How names are resolved.
#[allow(deprecated, reason = "the form that upstream still sends")]
fn resolve(scope: &Scope, cluster: &mut wire::Cluster) {
    use wire::cluster::DnsLookupFamily;
    let family = match (scope.families.v4, scope.families.v6) {
        (true, true) => DnsLookupFamily::All,
        (false, true) => DnsLookupFamily::V6Only,
        _ => DnsLookupFamily::V4Only,
    };
    cluster.dns_lookup_family = family as i32;
    cluster.dns_refresh_rate = span(scope.config.dns_refresh_rate);
    cluster.dns_jitter = Some(Duration {
        seconds: 0,
        nanos: 100_000_000,
    });
    cluster.respect_dns_ttl = true;
    let resolver = CaresDnsResolverConfig {
        udp_max_queries: number(100),
        ..Default::default()
    };
    cluster.typed_dns_resolver_config = Some(TypedExtensionConfig {
        name: "envoy.network.dns_resolver.cares".to_owned(),
        typed_config: Some(resolver.pack()),
    });
}

/// How distance counts: by the rule's or the mesh's settings once failures are noticed, else by the
/// service's own wish.
fn distance(scope: &Scope, called: &OutboundService, policy: &mesh::Policy) -> Distance {
    let workload = &scope.workload;
    let own = policy
        .load_balancer
        .as_ref()
        .and_then(|lb| lb.locality_lb_setting.as_ref());
    let settings = own.or(scope.config.locality_lb_setting.as_ref());
    let enabled = settings.is_some_and(|settings| settings.enabled != Some(false));
    let locality = workload.locality.clone();
    match called.service.traffic_distribution.as_deref() {
        Some(wish @ ("PreferClose" | "PreferSameZone" | "PreferSameNode")) if own.is_none() => {
            return Distance::Preferred {
                node: wish == "PreferSameNode",
                locality,
                on: workload.node.clone(),
                network: workload.network.clone(),
            };
        }
        _ => {}
    }
    let Some(settings) = settings.filter(|_| enabled) else {
        return Distance::Ignored;
    };
    if settings.distribute.is_empty() && policy.outlier_detection.is_none()
        || locality.is_unknown() && settings.failover_priority.is_empty()
    {
        return Distance::Ignored;
    }
    Distance::Settings {
        settings: settings.clone(),
        locality,
        labels: workload.labels.clone(),
    }
}
