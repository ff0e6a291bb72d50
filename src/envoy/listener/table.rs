//! Outbound listeners in the making, by address and port: what becomes of two that meet, and how
//! one looks in the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::ObjectRef;
use mesh::{Protocol, Scope};
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::core::v3::TrafficDirection;
use proto::envoy::config::listener::v3::{
    AdditionalAddress, Filter, FilterChain, FilterChainMatch, Listener,
};

use super::filter_chain::{Routes, Side, Statistics};
use super::{Made, address, balanced, captured, http, http_inspector, timeout, tls_inspector};
use crate::parts::{flag, number, range, seconds};

/// All listeners.
#[derive(Default)]
pub(super) struct Table {
    pub(super) entries: BTreeMap<(String, u16), Entry>,
}

/// What many listeners have in common.
pub(super) struct Shared<'a> {
    managers: http::Managers<'a>,
    /// The chain for what no other takes.
    unknown: FilterChain,
}

impl<'a> Shared<'a> {
    pub(super) fn new(scope: &'a Scope) -> Self {
        Shared {
            managers: http::Managers::new(scope),
            unknown: captured::unknown(scope),
        }
    }
}

/// One listener.
pub(super) struct Entry {
    pub(super) number: u16,
    pub(super) binds: Vec<String>,
    pub(super) binds_to_port: bool,
    /// Whether nothing more may join.
    pub(super) locked: bool,
    pub(super) kind: Kind,
    pub(super) chains: Vec<Chain>,
    pub(super) origin: Vec<Arc<ObjectRef>>,
}

/// What a listener carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// HTTP only.
    Http(Protocol),
    /// Anything but HTTP.
    Opaque(Protocol),
    /// Both, told apart by connection.
    Sniffed,
}

/// A filter chain in the making.
pub(super) struct Chain {
    pub(super) names: Vec<String>,
    pub(super) ranges: Vec<String>,
    pub(super) protocols: Vec<String>,
    pub(super) transport: &'static str,
    pub(super) metadata: Option<core::Metadata>,
    pub(super) content: Content,
}

/// What a chain does.
pub(super) enum Content {
    /// HTTP by these routes.
    Http {
        routes: String,
        protocol: Protocol,
        /// Wildcard host, of the service that the chain was made for first, whose names are
        /// resolved on the way.
        dynamic: Option<String>,
    },
    /// Filters of an opaque connection.
    Opaque(Vec<Filter>),
}

impl Chain {
    pub(super) fn new(content: Content) -> Self {
        Chain {
            names: Vec::new(),
            ranges: Vec::new(),
            protocols: Vec::new(),
            transport: "",
            metadata: None,
            content,
        }
    }

    fn takes_everything(&self) -> bool {
        (self.names.is_empty() || self.any_name())
            && self.protocols.is_empty()
            && self.transport.is_empty()
            && self.ranges.is_empty()
    }

    fn any_name(&self) -> bool {
        self.names.iter().any(|name| name == "*")
    }

    /// Whether two chains take the same connections.
    fn meets(&self, other: &Chain) -> bool {
        self.transport == other.transport
            && self.protocols == other.protocols
            && same(&self.names, &other.names, |name| {
                (name != "*").then(|| name.to_owned())
            })
            && same(&self.ranges, &other.ranges, masked)
    }

    fn condition(&self) -> Option<FilterChainMatch> {
        if self.takes_everything() {
            return None;
        }
        let mut names = self.names.clone();
        names.sort();
        if self.any_name() {
            names.clear();
        }
        let mut ranges = self.ranges.clone();
        ranges.sort();
        let ranges = ranges.iter().filter_map(|text| range(text));
        Some(FilterChainMatch {
            server_names: names,
            prefix_ranges: ranges
                .filter(|range| range.address_prefix != "0.0.0.0")
                .collect(),
            application_protocols: self.protocols.clone(),
            transport_protocol: self.transport.to_owned(),
            ..Default::default()
        })
    }
}

fn same(a: &[String], b: &[String], key: impl Fn(&str) -> Option<String>) -> bool {
    let set = |list: &[String]| {
        let keys = list.iter().filter_map(|text| key(text));
        keys.collect::<std::collections::BTreeSet<String>>()
    };
    set(a) == set(b)
}

/// A range without the bits that do not count; nothing for every address.
fn masked(text: &str) -> Option<String> {
    let found = range(text)?;
    let length = found.prefix_len.as_ref().map_or(0, |length| length.value);
    if found.address_prefix == "0.0.0.0" {
        return None;
    }
    let head = match found.address_prefix.parse().ok()? {
        std::net::IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            std::net::Ipv4Addr::from_bits(ip.to_bits() & mask).to_string()
        }
        std::net::IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            std::net::Ipv6Addr::from_bits(ip.to_bits() & mask).to_string()
        }
    };
    Some(format!("{head}/{length}"))
}

impl Table {
    /// From now on nothing joins the listeners that are there.
    pub(super) fn lock(&mut self) {
        for entry in self.entries.values_mut() {
            entry.locked = true;
        }
    }

    /// Notes that a listener that is there serves these objects too.
    pub(super) fn note(&mut self, key: &(String, u16), origin: Vec<Arc<ObjectRef>>) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.origin.extend(origin);
        }
    }

    /// Adds a listener, or its chains to the one that is there. HTTP and anything else on one port
    /// are told apart by connection, which protocols whose server speaks first cannot bear.
    pub(super) fn add(&mut self, key: (String, u16), new: Entry, protocol: Protocol) {
        let Some(known) = self.entries.get_mut(&key) else {
            self.entries.insert(key, new);
            return;
        };
        if protocol == Protocol::HttpProxy {
            *known = new;
            return;
        }
        let waits = |kind: Kind| match kind {
            Kind::Opaque(protocol @ (Protocol::Mongo | Protocol::MySql)) => Some(protocol),
            _ => None,
        };
        if waits(known.kind) != waits(new.kind) {
            return;
        }
        let replaces = matches!(
            (known.kind, protocol),
            (Kind::Http(_), Protocol::Unsupported)
        );
        if replaces {
            let origin = std::mem::take(&mut known.origin);
            *known = new;
            known.origin.extend(origin);
            return;
        }
        known.kind = match (known.kind, new.kind) {
            (Kind::Opaque(first), Kind::Opaque(_)) => Kind::Opaque(first),
            _ => Kind::Sniffed,
        };
        known.origin.extend(new.origin);
        for chain in new.chains {
            if !known.chains.iter().any(|other| other.meets(&chain)) {
                known.chains.push(chain);
            }
        }
    }
}

impl Entry {
    /// The listener, with the chain that takes everything else as its default.
    pub(super) fn finished(self, scope: &Scope, shared: &Shared) -> Made {
        let bind = self.binds.first().map_or("", String::as_str);
        let name = format!("{bind}_{}", self.number);
        let statistics = format!("outbound_{name}");
        let mut routes = Vec::new();
        let by_name = self.chains.iter().any(|chain| !chain.names.is_empty());
        let by_protocol = self.chains.iter().any(|chain| !chain.protocols.is_empty());
        let mut chains = Vec::new();
        let mut default = None;
        for chain in self.chains {
            let condition = chain.condition();
            let filters = match chain.content {
                Content::Opaque(filters) => filters,
                Content::Http {
                    routes: name,
                    protocol,
                    dynamic,
                } => {
                    routes.push(name.clone());
                    let dynamic = dynamic.as_deref();
                    let wanted = http::Wanted {
                        side: Side::Outbound,
                        statistics: Statistics::Listener(&statistics),
                        protocol,
                        routes: Routes::Named(name),
                        dynamic,
                        http1: None,
                        guards: &[],
                    };
                    vec![shared.managers.manager(wanted)]
                }
            };
            let made = FilterChain {
                filters,
                metadata: chain.metadata,
                transport_socket_connect_timeout: seconds(15),
                ..Default::default()
            };
            match condition {
                None => default = Some(made),
                Some(matched) => chains.push(FilterChain {
                    filter_chain_match: Some(matched),
                    ..made
                }),
            }
        }
        let default = match default {
            Some(only) if chains.is_empty() => {
                chains.push(only);
                None
            }
            Some(default) => Some(default),
            None => Some(shared.unknown.clone()),
        };
        let mut listener_filters = Vec::new();
        listener_filters.extend(by_name.then(tls_inspector));
        listener_filters.extend(by_protocol.then(http_inspector));
        let listener = Listener {
            name,
            address: Some(address(bind, self.number)),
            additional_addresses: additional(&self.binds, self.number),
            bind_to_port: if self.binds_to_port {
                None
            } else {
                flag(false)
            },
            max_connections_to_accept_per_socket_event: if self.binds_to_port {
                number(1)
            } else {
                None
            },
            traffic_direction: TrafficDirection::Outbound as i32,
            connection_balance_config: balanced(scope.settings.balances_outbound),
            listener_filters,
            listener_filters_timeout: if by_protocol {
                timeout(scope)
            } else {
                seconds(0)
            },
            continue_on_listener_filters_timeout: true,
            filter_chains: chains,
            default_filter_chain: default,
            ..Default::default()
        };
        Made {
            listener,
            origin: self.origin,
            routes,
        }
    }
}

/// Further addresses beside the first.
pub(super) fn additional(binds: &[String], port: u16) -> Vec<AdditionalAddress> {
    let more = binds.iter().skip(1);
    more.map(|bind| AdditionalAddress {
        address: Some(address(bind, port)),
        ..Default::default()
    })
    .collect()
}
