//! Clusters for calls: a port of a service, and each of its subsets; a second time for gateways that
//! pass the mesh's mTLS on by its server names.

use std::sync::Arc;

use api::mesh_config::DefaultTrafficPolicy;
use api::networking::destination_rule::{Subset, TlsMode};
use api::snapshot::Labels;
use base::ObjectRef;
use mesh::{OutboundService, Port, Protocol, Resolution, Role, Scope, over_mesh};
use proto::envoy::config::cluster::v3 as wire;
use proto::envoy::config::core::v3::TypedExtensionConfig;
use proto::envoy::extensions::clusters::dynamic_forward_proxy::v3 as dynamic;
use proto::envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
use proto::google::protobuf::Duration;
use proto::pack::Pack;
use proto::writer::Writer;
use wire::cluster::DiscoveryType;

use super::connection_pool::Options;
use super::distance::Wish;
use super::{Made, connection_pool, load_balancer, of_type, outlier_detection, put_greeting, tls};
use crate::endpoint::{EndpointView, Reach};
use crate::parts::{ads, lookup_family, number, span};
use crate::{assign, filter, names, statistics};

/// Labels of services whose sessions stick to endpoints.
pub(super) const SESSIONS: [&str; 2] = [
    "istio.io/persistent-session",
    "istio.io/persistent-session-header",
];

/// A cluster in the making.
pub(super) struct Built {
    pub(super) cluster: wire::Cluster,
    /// Fields of it that are written rather than built.
    written: Writer,
    origin: Vec<Arc<ObjectRef>>,
    pub(super) endpoints: Option<EndpointView>,
    /// Whether HTTP/2 is spoken, where the mesh's mTLS is used with endpoints that can.
    pub(super) secured: Option<bool>,
}

impl Built {
    fn made(self) -> Made {
        let mut made = Made::of(self.cluster, self.origin);
        made.encoded.raw(self.written.bytes());
        made.endpoints = self.endpoints;
        made
    }
}

/// What a cluster is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Calls.
    Calls,
    /// Connections that are mTLS already.
    Passes,
}

pub(super) fn of_port(scope: &Scope, called: &OutboundService, port: &Port) -> Vec<Made> {
    let service = &called.service;
    if service.is_alias() {
        return Vec::new();
    }
    let mut made = Vec::new();
    if service.resolution == Resolution::DynamicDns && mesh::is_wildcard(&service.id.host) {
        let known = matches!(
            port.protocol,
            Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::Tls
        );
        if known {
            let one = one(scope, called, port, None, Mode::Calls, None);
            made.extend(one.map(Built::made));
        }
        return made;
    }
    made.extend(of_mode(scope, called, port, Mode::Calls));
    if scope.gateways.passes_mesh && !service.external {
        made.extend(of_mode(scope, called, port, Mode::Passes));
    }
    made
}

fn of_mode(scope: &Scope, called: &OutboundService, port: &Port, mode: Mode) -> Vec<Made> {
    // Without an endpoint that has a name there is nothing to resolve, for subsets neither.
    let Some(whole) = one(scope, called, port, None, mode, None) else {
        return Vec::new();
    };
    let kind = type_of(&whole.cluster);
    let mut made = vec![whole.made()];
    for subset in called.rule.iter().flat_map(|rule| &rule.subsets) {
        let one = one(scope, called, port, Some(subset), mode, kind);
        made.extend(one.map(Built::made));
    }
    made
}

fn type_of(cluster: &wire::Cluster) -> Option<DiscoveryType> {
    match &cluster.cluster_discovery_type {
        Some(wire::cluster::ClusterDiscoveryType::Type(kind)) => {
            DiscoveryType::try_from(*kind).ok()
        }
        _ => None,
    }
}

/// How a service's endpoints are found. A gateway has no address that the caller chose.
fn discovery(scope: &Scope, called: &OutboundService) -> DiscoveryType {
    match called.service.resolution {
        Resolution::Dns if called.service.resolves_both_families => DiscoveryType::LogicalDns,
        Resolution::Dns => DiscoveryType::StrictDns,
        Resolution::DnsRoundRobin => DiscoveryType::LogicalDns,
        Resolution::Passthrough if scope.role != Role::Router => DiscoveryType::OriginalDst,
        _ => DiscoveryType::Eds,
    }
}

/// One cluster; a subset's has the type `whole` of that for all endpoints.
pub(super) fn one(
    scope: &Scope,
    called: &OutboundService,
    port: &Port,
    subset: Option<&Subset>,
    mode: Mode,
    whole: Option<DiscoveryType>,
) -> Option<Built> {
    let service = &called.service;
    let host = &service.id.host;
    let subset_name = subset.map_or("", |subset| subset.name.as_str());
    let name = match mode {
        Mode::Calls => names::outbound(port.number, subset_name, host),
        Mode::Passes => names::sni(port.number, subset_name, host),
    };
    let rule = called.rule.as_deref();
    let mesh = scope.config.default_traffic_policy.as_ref();
    let policy_over = |mesh: Option<&DefaultTrafficPolicy>| match rule {
        Some(rule) => rule.settings(subset, port.number, mesh),
        None => over_mesh(Default::default(), mesh),
    };
    let policy = policy_over(mesh);
    let balancer = policy.load_balancer.as_ref();
    let passthrough = "PASSTHROUGH";
    let is_passthrough = balancer.is_some_and(|lb| lb.simple.as_deref() == Some(passthrough));
    let is_dynamic = service.resolution == Resolution::DynamicDns && mesh::is_wildcard(host);
    // What the rule or the subset says without regard to ports.
    let without_ports = match subset {
        Some(subset) => subset.traffic_policy.as_ref(),
        None => rule.and_then(|rule| rule.policy.as_ref()),
    };
    let simple = without_ports
        .and_then(|policy| policy.load_balancer.as_ref())
        .and_then(|balancer| balancer.simple.as_deref());
    let built = match whole {
        Some(_) if simple == Some(passthrough) => DiscoveryType::OriginalDst,
        Some(whole) => whole,
        None => discovery(scope, called),
    };
    let kind = if is_passthrough {
        DiscoveryType::OriginalDst
    } else {
        built
    };
    let pool = policy.connection_pool.clone().unwrap_or_default();
    let mut options = Options::of(scope, port.protocol);
    let statistics = statistics::outbound(scope, service, subset_name, (port.number, &port.name));
    let mut cluster = wire::Cluster {
        alt_stat_name: format!("{};", statistics.as_deref().unwrap_or(&name)),
        name,
        cluster_discovery_type: of_type(kind),
        common_lb_config: Some(wire::cluster::CommonLbConfig::default()),
        ..Default::default()
    };
    let settings = tls::Settings::of(scope, called, &policy, without_ports, port, subset_name);
    let mut written = Writer::with_capacity(2048);
    put_greeting(scope, &mut written);
    let hides_alpn = mode == Mode::Calls && settings.hides_alpn();
    put_metadata(called, subset, mode, hides_alpn, &mut written);
    if is_dynamic {
        resolved_on_the_way(scope, host, settings.is_lax(), &mut cluster);
    } else if matches!(built, DiscoveryType::StrictDns | DiscoveryType::LogicalDns) {
        resolve(scope, &mut cluster);
        if service.resolves_both_families {
            cluster.dns_lookup_family = wire::cluster::DnsLookupFamily::All as i32;
        }
    }
    if built == DiscoveryType::OriginalDst
        && let Some(target) = service.port_overrides.get(&port.number)
    {
        cluster.lb_config = Some(wire::cluster::LbConfig::OriginalDstLbConfig(
            wire::cluster::OriginalDstLbConfig {
                upstream_port_override: number(u32::from(*target)),
                ..Default::default()
            },
        ));
    }
    if connection_pool::upgrades(scope, &pool, port.protocol) {
        options.upgrade();
    }
    let budget = policy.retry_budget.as_ref();
    connection_pool::apply(scope, &mut cluster, &mut options, &pool, budget);
    let features = &scope.features;
    let needs_unhealthy = features.always_send_unhealthy || wishes_distance(called);
    if let Some(outlier) = &policy.outlier_detection {
        outlier_detection::apply(&mut cluster, &mut options, outlier, needs_unhealthy);
    }
    if features.send_unhealthy || needs_unhealthy {
        // An endpoint that is told of as not ready is not to get traffic because most are so.
        let common = cluster.common_lb_config.get_or_insert_default();
        common.healthy_panic_threshold.get_or_insert_default();
    }
    let wish = Wish::of(scope, service, balancer);
    if is_dynamic {
        cluster.lb_policy = wire::cluster::LbPolicy::ClusterProvided as i32;
        cluster.common_lb_config = None;
    } else {
        load_balancer::distance(&mut cluster, &wish);
        if kind == DiscoveryType::OriginalDst {
            cluster.lb_policy = wire::cluster::LbPolicy::ClusterProvided as i32;
        } else {
            load_balancer::apply(&mut cluster, balancer);
            if features.redis_filter && port.protocol == Protocol::Redis {
                load_balancer::shard(&mut cluster);
            }
        }
        if sticks(called) && subset.is_none() {
            keep_draining(&mut cluster);
        }
    }
    // What the mesh says of ejection holds of clusters, not of the order of their endpoints.
    let own = rule.map(|rule| rule.settings(subset, port.number, None));
    let outlier = own.and_then(|own| own.outlier_detection);
    let view = EndpointView {
        cluster: cluster.name.clone(),
        host: service.id.clone(),
        port: port.name.clone(),
        number: port.number,
        subset: subset.map_or_else(Labels::new, |subset| subset.labels.clone()),
        mutual_tls: rule
            .and_then(|rule| rule.tls_mode(subset, port.number))
            .map(|mode| mode == TlsMode::IstioMutual),
        mutual_only: mode == Mode::Passes,
        reach: Reach::of(scope, service).into(),
        modes: scope.modes.clone(),
        unhealthy: needs_unhealthy
            || features.send_unhealthy
                && outlier.as_ref().is_none_or(|od| od.min_health_percent <= 0),
        distance: wish.distance(scope, outlier.is_some()),
    };
    let secured = settings.is_auto().then(|| options.is_http2());
    if mode == Mode::Calls {
        // What another socket goes around has to be a value.
        let written = Some(&mut written).filter(|_| policy.proxy_protocol.is_none());
        settings.apply(scope, &mut cluster, &mut options, is_dynamic, written);
        if let Some(proxy_protocol) = &policy.proxy_protocol {
            tls::tell_address(&mut cluster, proxy_protocol);
        }
    }
    let mut endpoints = None;
    match built {
        _ if is_dynamic || kind == DiscoveryType::OriginalDst => {
            if built != kind && !has_names(called, &view) {
                return None;
            }
        }
        DiscoveryType::Eds => {
            cluster.eds_cluster_config = Some(wire::cluster::EdsClusterConfig {
                eds_config: Some(ads()),
                service_name: cluster.name.clone(),
            });
            endpoints = Some(view);
        }
        _ => {
            let assignment = assign(&view, service.spelled_out.as_deref()?);
            if assignment.endpoints.is_empty() {
                return None;
            }
            cluster.load_assignment = Some(assignment);
        }
    }
    cluster.typed_extension_protocol_options = options.packed().into_iter().collect();
    Some(Built {
        cluster,
        written,
        origin: origin(scope, called),
        endpoints,
        secured,
    })
}

/// The objects that clusters of a service are made from.
pub(super) fn origin(scope: &Scope, called: &OutboundService) -> Vec<Arc<ObjectRef>> {
    let service = &called.service;
    let rule = called.rule.iter();
    let rule = rule.flat_map(|rule| rule.origin.iter().cloned());
    let mode = scope.modes.origin_of_namespace(&service.id.namespace);
    let mode = mode.filter(|_| !service.external).cloned();
    let own = std::iter::once(service.origin.clone());
    own.chain(rule).chain(mode).collect()
}

/// Whether the Service itself wishes that callers keep to what is near.
fn wishes_distance(called: &OutboundService) -> bool {
    use api::snapshot::TrafficDistribution::{SameNode, SameZone};
    matches!(
        called.service.traffic_distribution,
        Some(SameZone | SameNode)
    )
}

/// Whether sessions stick to endpoints, by labels of the Service.
fn sticks(called: &OutboundService) -> bool {
    let labels = &called.service.labels;
    SESSIONS
        .iter()
        .any(|label| labels.get(*label).is_some_and(|value| !value.is_empty()))
}

/// Endpoints that end still serve the sessions that stick to them.
fn keep_draining(cluster: &mut wire::Cluster) {
    use proto::envoy::config::core::v3::{HealthStatus, HealthStatusSet};
    let common = cluster.common_lb_config.get_or_insert_default();
    common.override_host_status = Some(HealthStatusSet {
        statuses: [
            HealthStatus::Healthy,
            HealthStatus::Draining,
            HealthStatus::Unknown,
            HealthStatus::Degraded,
        ]
        .map(|status| status as i32)
        .to_vec(),
    });
}

/// Whether there is anything to resolve, where endpoints are found by DNS.
fn has_names(called: &OutboundService, view: &EndpointView) -> bool {
    let dns = matches!(
        called.service.resolution,
        Resolution::Dns | Resolution::DnsRoundRobin
    );
    let known = called.service.spelled_out.as_deref();
    !dns || known.is_some_and(|known| !assign(view, known).endpoints.is_empty())
}

/// Field numbers of `Cluster`, `Metadata`, `Struct`, entries of maps, `Value` and `ListValue`.
const METADATA: u32 = 25;
const BY_FILTER: u32 = 1;
const FIELDS: u32 = 1;
const KEY: u32 = 1;
const VALUE: u32 = 2;
const STRING: u32 = 3;
const BOOL: u32 = 4;
const STRUCT: u32 = 5;
const LIST: u32 = 6;
const VALUES: u32 = 1;

/// Writes which service and objects a cluster stands for; `hides_alpn` keeps Istio's own ALPN from
/// strangers.
pub(super) fn put_metadata(
    called: &OutboundService,
    subset: Option<&Subset>,
    mode: Mode,
    hides_alpn: bool,
    into: &mut Writer,
) {
    let field = |into: &mut Writer, key: &str, write: &dyn Fn(&mut Writer)| {
        into.nested(FIELDS, |entry| {
            entry.text(KEY, key).nested(VALUE, write);
        });
    };
    let text = |into: &mut Writer, key: &str, text: &str| {
        field(into, key, &|value| {
            value.text(STRING, text);
        });
    };
    let service = &called.service;
    // Of a host that the caller names nobody knows the service.
    let dynamic =
        service.resolution == Resolution::DynamicDns && mesh::is_wildcard(&service.id.host);
    let service_facts = |value: &mut Writer| {
        value.nested(STRUCT, |facts| {
            text(facts, "host", &service.id.host);
            text(facts, "name", &service.name);
            text(facts, "namespace", &service.id.namespace);
        });
    };
    into.nested(METADATA, |metadata| {
        metadata.nested(BY_FILTER, |filter| {
            filter.text(KEY, "istio").nested(VALUE, |fields| {
                if hides_alpn {
                    text(fields, "alpn_override", "false");
                }
                if let Some(rule) = &called.rule {
                    text(fields, "config", &names::config_path(&rule.origin[0]));
                }
                if service.external && subset.is_none() && mode == Mode::Calls {
                    field(fields, "external", &|value| {
                        value.number(BOOL, 1);
                    });
                }
                field(fields, "services", &|value| {
                    value.nested(LIST, |list| {
                        if !dynamic {
                            list.nested(VALUES, service_facts);
                        }
                    });
                });
                if let Some(subset) = subset {
                    text(fields, "subset", &subset.name);
                }
            });
        });
    });
}

/// How names are resolved.
#[allow(deprecated, reason = "the form that upstream still sends")]
fn resolve(scope: &Scope, cluster: &mut wire::Cluster) {
    cluster.dns_lookup_family = lookup_family(scope) as i32;
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

/// The name that a caller says is resolved when it does.
fn resolved_on_the_way(scope: &Scope, host: &str, lax: bool, cluster: &mut wire::Cluster) {
    let config = dynamic::ClusterConfig {
        cluster_implementation_specifier: Some(
            dynamic::cluster_config::ClusterImplementationSpecifier::DnsCacheConfig(
                filter::dynamic::cache(scope, host),
            ),
        ),
        allow_insecure_cluster_options: lax,
        ..Default::default()
    };
    cluster.cluster_discovery_type = Some(wire::cluster::ClusterDiscoveryType::ClusterType(
        wire::cluster::CustomClusterType {
            name: "envoy.clusters.dynamic_forward_proxy".to_owned(),
            typed_config: Some(config.pack()),
        },
    ));
}
