//! Opaque connections to clusters: one, or several by weight, with what their rules say of
//! connections.

use std::rc::Rc;
use std::sync::Arc;

use api::networking::virtual_service::{Destination, RouteDestination};
use base::ObjectRef;
use bytes::Bytes;
use mesh::{Protocol, Rule, Scope};
use proto::envoy::config::listener::v3::Filter;
use proto::envoy::extensions::filters::network;
use proto::envoy::r#type::v3::HashPolicy;
use proto::envoy::r#type::v3::hash_policy::{PolicySpecifier, SourceIp};
use proto::pack::{Pack, Put};
use proto::writer::Writer;

use network::redis_proxy::v3 as redis;
use network::tcp_proxy::v3 as tcp;
use tcp::tcp_proxy::ClusterSpecifier;
use tcp::tcp_proxy::weighted_cluster::ClusterWeight;

use super::filter_chain::{self, Side, greeting, metrics, of};
use super::wildcards;
use crate::parts::{seconds, span};
use crate::{access_log, filter, names, statistics};

/// A port without HTTP.
#[derive(Clone, Copy)]
pub(crate) struct L4Port {
    pub(crate) number: u16,
    pub(crate) protocol: Protocol,
    /// Whether the peer's proxy begins with an exchange of metadata.
    pub(crate) greets: bool,
}

/// Whether connections may go inside of HTTP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tunnels {
    /// Where the rule says so.
    AsTheRuleSays,
    /// Not at all: what comes is passed on as it is.
    Never,
}

/// Filters of connections to the destinations of a rule; `name` is what statistics call several.
pub(crate) fn to_destinations(
    scope: &Scope,
    side: Side,
    port: L4Port,
    to: &[RouteDestination],
    name: &str,
) -> Vec<Filter> {
    let Some(first) = to.first() else {
        return Vec::new();
    };
    let called = scope.outbound.service(&first.destination.host);
    let rule = called.and_then(|called| called.rule.as_deref());
    let subset = first.destination.subset.as_str();
    if let [only] = to {
        let cluster = cluster(scope, port, &only.destination);
        let statistics = called.and_then(|called| {
            let own = called.service.ports.iter();
            let own = own.filter(|own| own.number == port.number);
            let port_name = own.map(|own| own.name.as_str()).next().unwrap_or_default();
            statistics::outbound(scope, &called.service, subset, (port.number, port_name))
        });
        let mut proxy = proxy(scope, side, rule, subset);
        proxy.stat_prefix = statistics.unwrap_or_else(|| cluster.clone());
        proxy.cluster_specifier = Some(ClusterSpecifier::Cluster(cluster));
        tunnel(&mut proxy, rule, subset);
        return stack(scope, side, port, proxy, None);
    }
    let clusters = to
        .iter()
        .filter(|to| to.weight > 0)
        .map(|to| ClusterWeight {
            name: cluster(scope, port, &to.destination),
            weight: u32::try_from(to.weight).unwrap_or_default(),
            ..Default::default()
        });
    // Settings that only subsets have hold of none, as there are several.
    let mut proxy = proxy(scope, side, rule, "");
    name.clone_into(&mut proxy.stat_prefix);
    proxy.cluster_specifier = Some(ClusterSpecifier::WeightedClusters(
        tcp::tcp_proxy::WeightedCluster {
            clusters: clusters.collect(),
        },
    ));
    tunnel(&mut proxy, rule, "");
    stack(scope, side, port, proxy, None)
}

/// The DestinationRule that connections to these destinations are made by.
pub(super) fn origin(scope: &Scope, to: &[RouteDestination]) -> Vec<Arc<ObjectRef>> {
    let called = to
        .first()
        .and_then(|first| scope.outbound.service(&first.destination.host));
    let rule = called.and_then(|called| called.rule.as_ref());
    rule.map_or_else(Vec::new, |rule| rule.origin.clone())
}

/// Filters of connections to one cluster.
pub(crate) fn to_cluster(
    scope: &Scope,
    side: Side,
    port: L4Port,
    cluster: &str,
    rule: Option<&Rule>,
    subset: &str,
    tunnels: Tunnels,
) -> Vec<Filter> {
    let mut proxy = proxy(scope, side, rule, subset);
    cluster.clone_into(&mut proxy.stat_prefix);
    proxy.cluster_specifier = Some(ClusterSpecifier::Cluster(cluster.to_owned()));
    if tunnels == Tunnels::AsTheRuleSays {
        tunnel(&mut proxy, rule, subset);
    }
    stack(scope, side, port, proxy, None)
}

/// Connections of callers to services: what all have in common of which no rule says anything is encoded once.
pub(crate) struct Services<'a> {
    pub(super) scope: &'a Scope,
    /// Every address of the proxy's families.
    pub(super) anywhere: Rc<[String]>,
    /// Metrics.
    pub(super) before: Bytes,
    /// The proxy, but for its cluster.
    rest: Bytes,
}

impl<'a> Services<'a> {
    pub(crate) fn new(scope: &'a Scope) -> Self {
        Services {
            scope,
            anywhere: wildcards(scope).into(),
            before: filter_chain::encoded(metrics(scope, Side::Outbound)),
            rest: proxy(scope, Side::Outbound, None, "").fields(),
        }
    }

    /// Writes the filters of connections to a cluster of which no rule says anything.
    pub(super) fn put_plain(&self, statistics: &str, cluster: &str, into: &mut Writer) {
        into.raw(&self.before);
        filter_chain::put_proxy(statistics, cluster, &self.rest, into);
    }

    /// Filters of connections to a service, encoded; `dynamic` is a wildcard host whose names are resolved on the
    /// way.
    pub(crate) fn filters(
        &self,
        port: L4Port,
        cluster: &str,
        statistics: Option<String>,
        rule: Option<&Rule>,
        dynamic: Option<&str>,
    ) -> Bytes {
        let scope = self.scope;
        if rule.is_none() && dynamic.is_none() && !looks_into(scope, port.protocol) {
            let mut filters = Writer::with_capacity(self.before.len() + self.rest.len() + 320);
            let statistics = statistics.as_deref().unwrap_or(cluster);
            self.put_plain(statistics, cluster, &mut filters);
            return filters.into_bytes();
        }
        let mut proxy = proxy(scope, Side::Outbound, rule, "");
        proxy.stat_prefix = statistics.unwrap_or_else(|| cluster.to_owned());
        proxy.cluster_specifier = Some(ClusterSpecifier::Cluster(cluster.to_owned()));
        tunnel(&mut proxy, rule, "");
        let resolver =
            dynamic.map(|host| filter::dynamic::by_server_name(scope, host, port.number));
        filter_chain::encoded(stack(scope, Side::Outbound, port, proxy, resolver))
    }
}

/// Whether connections of a protocol end in filters of their own.
pub(super) fn looks_into(scope: &Scope, protocol: Protocol) -> bool {
    match protocol {
        Protocol::Redis => scope.features.redis_filter,
        Protocol::Mongo => scope.features.mongo_filter,
        _ => false,
    }
}

/// The cluster of a destination; its port, or the only one of its host, or that of the listener.
fn cluster(scope: &Scope, port: L4Port, to: &Destination) -> String {
    let called = scope.outbound.service(&to.host);
    let number = match (
        &to.port,
        called.map(|called| called.service.ports.as_slice()),
    ) {
        (Some(port), _) => u16::try_from(port.number).unwrap_or_default(),
        (None, Some([only])) => only.number,
        (None, _) => port.number,
    };
    let concrete = called.and_then(|called| called.service.alias_of.as_deref());
    names::outbound(number, &to.subset, concrete.unwrap_or(&to.host))
}

/// A proxy with the rule's settings of connections, whatever the port or subset.
fn proxy(scope: &Scope, side: Side, rule: Option<&Rule>, subset: &str) -> tcp::TcpProxy {
    let policy = rule.and_then(|rule| rule.policy.as_ref());
    let pool = policy.and_then(|policy| policy.connection_pool.as_ref());
    let limits = pool.and_then(|pool| pool.tcp.as_ref());
    let idle = limits.and_then(|limits| limits.idle_timeout);
    let own = |policy: &api::networking::destination_rule::TrafficPolicy| {
        let balancer = policy.load_balancer.as_ref()?;
        Some(
            balancer
                .consistent_hash
                .as_ref()
                .is_some_and(|hash| hash.use_source_ip == Some(true)),
        )
    };
    let of_subset = rule
        .and_then(|rule| rule.subset(subset))
        .and_then(|subset| subset.traffic_policy.as_ref());
    let by_source = of_subset.and_then(own).or_else(|| policy.and_then(own));
    let hash = HashPolicy {
        policy_specifier: Some(PolicySpecifier::SourceIp(SourceIp {})),
    };
    tcp::TcpProxy {
        access_log: access_log::all(scope, side, access_log::Kind::Tcp),
        idle_timeout: idle.or(scope.settings.idle_timeout).and_then(span),
        max_downstream_connection_duration: limits
            .and_then(|limits| limits.max_connection_duration)
            .and_then(span),
        hash_policy: (by_source == Some(true))
            .then_some(hash)
            .into_iter()
            .collect(),
        ..Default::default()
    }
}

/// Connections inside of HTTP.
fn tunnel(proxy: &mut tcp::TcpProxy, rule: Option<&Rule>, subset: &str) {
    let policy = match subset {
        "" => rule.and_then(|rule| rule.policy.as_ref()),
        name => rule
            .and_then(|rule| rule.subset(name))
            .and_then(|subset| subset.traffic_policy.as_ref()),
    };
    let Some(tunnel) = policy.and_then(|policy| policy.tunnel.as_ref()) else {
        return;
    };
    let (host, port) = (&tunnel.target_host, tunnel.target_port);
    proxy.tunneling_config = Some(tcp::tcp_proxy::TunnelingConfig {
        hostname: if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        },
        use_post: tunnel.protocol == "POST",
        ..Default::default()
    });
}

/// All filters of a connection, the one that ends it last.
fn stack(
    scope: &Scope,
    side: Side,
    port: L4Port,
    proxy: tcp::TcpProxy,
    resolver: Option<Filter>,
) -> Vec<Filter> {
    let mut filters = Vec::new();
    if port.greets {
        filters.extend(greeting(scope, Side::Inbound));
    }
    filters.extend(metrics(scope, side));
    filters.extend(resolver);
    filters.extend(ending(scope, port.protocol, proxy));
    filters
}

/// The filters that end a connection: the proxy, behind what looks into its protocol.
pub(crate) fn ending(scope: &Scope, protocol: Protocol, proxy: tcp::TcpProxy) -> Vec<Filter> {
    let statistics = proxy.stat_prefix.clone();
    let cluster = match &proxy.cluster_specifier {
        Some(ClusterSpecifier::Cluster(cluster)) => cluster.clone(),
        Some(ClusterSpecifier::WeightedClusters(all)) => {
            let first = all.clusters.first();
            first.map(|first| first.name.clone()).unwrap_or_default()
        }
        _ => String::new(),
    };
    match protocol {
        Protocol::Redis if scope.features.redis_filter => vec![redis(statistics, cluster)],
        Protocol::Mongo if scope.features.mongo_filter => {
            let config = network::mongo_proxy::v3::MongoProxy {
                stat_prefix: statistics,
                ..Default::default()
            };
            let look = of("envoy.filters.network.mongo_proxy", config.pack());
            vec![look, super::filter_chain::proxy(proxy)]
        }
        _ => vec![super::filter_chain::proxy(proxy)],
    }
}

fn redis(statistics: String, cluster: String) -> Filter {
    use redis::redis_proxy::{ConnPoolSettings, PrefixRoutes, prefix_routes::Route};
    let config = redis::RedisProxy {
        stat_prefix: statistics,
        latency_in_micros: true,
        settings: Some(ConnPoolSettings {
            op_timeout: seconds(5),
            ..Default::default()
        }),
        prefix_routes: Some(PrefixRoutes {
            catch_all_route: Some(Route {
                cluster,
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    of("envoy.filters.network.redis_proxy", config.pack())
}
