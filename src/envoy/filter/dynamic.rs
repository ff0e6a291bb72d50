//! Names that are resolved on the way: of wildcard hosts, and of all unknown hosts where the mesh
//! wants it. The filters here and the clusters that they lead to share caches by name.

use mesh::Scope;
use proto::envoy::config::core::v3::TypedExtensionConfig;
use proto::envoy::config::listener::v3::Filter;
use proto::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use proto::envoy::extensions::filters::http::dynamic_forward_proxy::v3 as http;
use proto::envoy::extensions::filters::network::sni_dynamic_forward_proxy::v3 as sni;
use proto::envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
use proto::google::protobuf::Any;
use proto::pack::Pack;

use crate::listener::filter_chain;
use crate::parts::{lookup_family, number, socket};

/// The filter that resolves hosts of requests.
pub(crate) const HTTP: &str = "envoy.filters.http.dynamic_forward_proxy";

/// Most unknown names at a time.
const MOST_NAMES: u32 = 1024;

/// The cache of a wildcard host.
pub(crate) fn cache(scope: &Scope, host: &str) -> DnsCacheConfig {
    DnsCacheConfig {
        name: format!("{host}_dfp_dns_cache"),
        dns_lookup_family: lookup_family(scope) as i32,
        ..Default::default()
    }
}

/// The cache of all unknown hosts; names that the proxy itself answers are asked of it.
pub(crate) fn cache_of_any(scope: &Scope) -> DnsCacheConfig {
    let resolver = scope.settings.answers_dns.then(|| {
        let (host, port) = match scope.settings.dns_address.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().unwrap_or(15053)),
            None => ("127.0.0.1", 15053),
        };
        let host = if host == "localhost" {
            "127.0.0.1"
        } else {
            host
        };
        let config = CaresDnsResolverConfig {
            resolvers: vec![socket(host, port)],
            ..Default::default()
        };
        TypedExtensionConfig {
            name: "envoy.network.dns_resolver.cares".to_owned(),
            typed_config: Some(config.pack()),
        }
    });
    DnsCacheConfig {
        name: "allow_any_dfp_dns_cache".to_owned(),
        dns_lookup_family: lookup_family(scope) as i32,
        max_hosts: number(MOST_NAMES),
        typed_dns_resolver_config: resolver,
        ..Default::default()
    }
}

fn by_cache(cache: DnsCacheConfig) -> Any {
    http::FilterConfig {
        implementation_specifier: Some(
            http::filter_config::ImplementationSpecifier::DnsCacheConfig(cache),
        ),
        ..Default::default()
    }
    .pack()
}

/// Hosts of requests to a wildcard host.
pub(crate) fn by_host(scope: &Scope, host: &str) -> Any {
    by_cache(cache(scope, host))
}

/// Hosts of requests to anybody.
pub(crate) fn by_any_host(scope: &Scope) -> Any {
    by_cache(cache_of_any(scope))
}

/// Server names of connections to a wildcard host.
pub(crate) fn by_server_name(scope: &Scope, host: &str, port: u16) -> Filter {
    let config = sni::FilterConfig {
        dns_cache_config: Some(cache(scope, host)),
        port_specifier: Some(sni::filter_config::PortSpecifier::PortValue(port.into())),
        ..Default::default()
    };
    filter_chain::of(
        "envoy.extensions.filters.network.sni_dynamic_forward_proxy",
        config.pack(),
    )
}
