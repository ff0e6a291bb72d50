//! Outbound listeners in the making, by address and port: what becomes of two that meet, and how
//! one looks in the end.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use base::ObjectRef;
use base::hash::{Map, Set};
use bytes::Bytes;
use mesh::{Protocol, Scope};
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::core::v3::TrafficDirection;
use proto::envoy::config::listener::v3::{
    AdditionalAddress, FilterChain, FilterChainMatch, Listener,
};
use proto::pack::Put;
use proto::writer::Writer;

use super::filter_chain::{CHAINS, MATCH, Routes, Side, Statistics};
use super::opaque::Services;
use super::{Made, address, balanced, captured, http, http_inspector, timeout, tls_inspector};
use crate::parts::{flag, number, range, seconds};

/// All listeners.
#[derive(Default)]
pub(super) struct Table {
    /// By port and first address.
    entries: BTreeMap<u16, Map<String, Entry>>,
}

/// What many listeners have in common, made when the first asks.
pub(super) struct Shared<'a> {
    services: &'a Services<'a>,
    managers: http::Managers<'a>,
    /// The chain for what no other takes, as a field of a listener.
    unknown: OnceCell<Bytes>,
    /// All but name, place, chains and listener filters, by whether it binds to its port and looks for protocols.
    rest: [[OnceCell<Bytes>; 2]; 2],
}

/// Listener filters that look for server names and for protocols, as fields of a listener.
pub(super) fn inspectors(by_name: bool, by_protocol: bool) -> &'static [u8] {
    static KINDS: LazyLock<[[Bytes; 2]; 2]> = LazyLock::new(|| {
        let made = |by_name: bool, by_protocol: bool| {
            let mut listener_filters = Vec::new();
            listener_filters.extend(by_name.then(tls_inspector));
            listener_filters.extend(by_protocol.then(http_inspector));
            let listener = Listener {
                listener_filters,
                ..Default::default()
            };
            listener.fields()
        };
        [false, true].map(|name| [false, true].map(|protocol| made(name, protocol)))
    });
    &KINDS[usize::from(by_name)][usize::from(by_protocol)]
}

impl<'a> Shared<'a> {
    pub(super) fn new(services: &'a Services<'a>) -> Self {
        Shared {
            services,
            managers: http::Managers::new(services.scope),
            unknown: OnceCell::new(),
            rest: Default::default(),
        }
    }

    fn unknown(&self) -> &[u8] {
        self.unknown.get_or_init(|| {
            let mut listener = Writer::with_capacity(1024);
            listener.block(DEFAULT, |chain| captured::put_unknown(self.services, chain));
            listener.into_bytes()
        })
    }

    fn rest(&self, binds_to_port: bool, by_protocol: bool) -> &[u8] {
        let known = &self.rest[usize::from(binds_to_port)][usize::from(by_protocol)];
        known.get_or_init(|| rest(self.services.scope, binds_to_port, by_protocol))
    }
}

fn rest(scope: &Scope, binds_to_port: bool, by_protocol: bool) -> Bytes {
    let listener = Listener {
        bind_to_port: flag(false).filter(|_| !binds_to_port),
        max_connections_to_accept_per_socket_event: number(1).filter(|_| binds_to_port),
        traffic_direction: TrafficDirection::Outbound as i32,
        connection_balance_config: balanced(scope.settings.balances_outbound),
        listener_filters_timeout: if by_protocol {
            timeout(scope)
        } else {
            seconds(0)
        },
        continue_on_listener_filters_timeout: true,
        ..Default::default()
    };
    listener.fields()
}

/// One listener.
pub(super) struct Entry {
    pub(super) number: u16,
    pub(super) binds: Rc<[String]>,
    pub(super) binds_to_port: bool,
    /// Whether nothing more may join.
    pub(super) locked: bool,
    pub(super) kind: Kind,
    pub(super) chains: Vec<Chain>,
    /// What its chains take; nothing as long as none joined them.
    pub(super) taken: Set<Taken>,
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
    pub(super) protocols: &'static [&'static str],
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
    /// Filters of an opaque connection, encoded as a chain has them.
    Opaque(Bytes),
}

impl Chain {
    pub(super) fn new(content: Content) -> Self {
        Chain {
            names: Vec::new(),
            ranges: Vec::new(),
            protocols: &[],
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

    /// Chains for which this is equal take the same connections.
    fn taken(&self) -> Taken {
        let names = self.names.iter().filter(|name| *name != "*");
        Taken {
            transport: self.transport,
            protocols: self.protocols,
            names: names.cloned().collect(),
            ranges: self.ranges.iter().filter_map(|text| masked(text)).collect(),
        }
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
            application_protocols: self
                .protocols
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
            transport_protocol: self.transport.to_owned(),
            ..Default::default()
        })
    }
}

/// Which connections a chain takes.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Taken {
    transport: &'static str,
    protocols: &'static [&'static str],
    names: BTreeSet<String>,
    ranges: BTreeSet<String>,
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
        for entry in self.entries.values_mut().flat_map(Map::values_mut) {
            entry.locked = true;
        }
    }

    /// What is listened for at an address and port.
    pub(super) fn get_mut(&mut self, bind: &str, port: u16) -> Option<&mut Entry> {
        self.entries.get_mut(&port)?.get_mut(bind)
    }

    /// All listeners.
    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.entries.into_values().flat_map(Map::into_values)
    }

    /// Adds a listener, or its chains to the one that is there. HTTP and anything else on one port
    /// are told apart by connection, which protocols whose server speaks first cannot bear.
    pub(super) fn add(&mut self, new: Entry, protocol: Protocol) {
        let of_port = self.entries.entry(new.number).or_default();
        let Some(known) = of_port.get_mut(&new.binds[0]) else {
            of_port.insert(new.binds[0].clone(), new);
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
        if known.taken.is_empty() {
            known.taken = known.chains.iter().map(Chain::taken).collect();
        }
        for chain in new.chains {
            if known.taken.insert(chain.taken()) {
                known.chains.push(chain);
            }
        }
    }
}

impl Entry {
    /// The listener, with the chain that takes everything else as its default.
    pub(super) fn finished(self, shared: &Shared) -> Made {
        let bind = self.binds.first().map_or("", String::as_str);
        let name = [bind, "_", itoa::Buffer::new().format(self.number)].concat();
        let mut routes = Vec::new();
        let by_name = self.chains.iter().any(|chain| !chain.names.is_empty());
        let by_protocol = self.chains.iter().any(|chain| !chain.protocols.is_empty());
        let room = self.chains.iter().map(|chain| match &chain.content {
            Content::Opaque(filters) => filters.len() + 256,
            Content::Http { .. } => 2560,
        });
        let mut written = Writer::with_capacity(room.sum());
        // One that takes everything is the default where others stand before it.
        let whole = |chain: &Chain| chain.takes_everything();
        let rest = match self.chains.iter().all(whole) {
            true => CHAINS,
            false => DEFAULT,
        };
        let takes_rest = self.chains.iter().any(whole);
        for chain in self.chains {
            let condition = chain.condition();
            let number = condition.as_ref().map_or(rest, |_| CHAINS);
            written.block(number, |into| {
                if let Some(matched) = condition {
                    into.nested(MATCH, |into| matched.put(into));
                }
                match chain.content {
                    Content::Opaque(filters) => {
                        into.raw(&filters);
                    }
                    Content::Http {
                        routes: name_of_routes,
                        protocol,
                        dynamic,
                    } => {
                        routes.push(name_of_routes.clone());
                        let wanted = http::Wanted {
                            side: Side::Outbound,
                            statistics: Statistics::Listener(&format!("outbound_{name}")),
                            protocol,
                            routes: Routes::Named(name_of_routes),
                            dynamic: dynamic.as_deref(),
                            http1: None,
                            guards: &[],
                        };
                        shared.managers.put(wanted, into);
                    }
                }
                put_rest(chain.metadata, into);
            });
        }
        if !takes_rest {
            written.raw(shared.unknown());
        }
        written.raw(inspectors(by_name, by_protocol));
        written.raw(shared.rest(self.binds_to_port, by_protocol));
        written.text(NAME, &name);
        if self.number == 0 || self.binds.len() > 1 {
            // A unix socket, or both families.
            let places = Listener {
                address: Some(address(bind, self.number)),
                additional_addresses: additional(&self.binds, self.number),
                ..Listener::default()
            };
            places.put(&mut written);
        } else {
            written.nested(ADDRESS, |address| {
                address.nested(SOCKET, |socket| {
                    socket
                        .text(SOCKET_ADDRESS, bind)
                        .number(SOCKET_PORT, self.number.into());
                });
            });
        }
        Made {
            name,
            written,
            origin: self.origin,
            routes,
        }
    }
}

/// Field numbers of `Listener`, `Address` and `SocketAddress`.
pub(super) const NAME: u32 = 1;
const ADDRESS: u32 = 2;
const SOCKET: u32 = 1;
const SOCKET_ADDRESS: u32 = 2;
const SOCKET_PORT: u32 = 3;
const DEFAULT: u32 = 25;

/// Writes what a chain has beside its condition and its filters.
pub(super) fn put_rest(metadata: Option<core::Metadata>, into: &mut Writer) {
    static USUAL: LazyLock<Bytes> = LazyLock::new(|| rest(None));
    fn rest(metadata: Option<core::Metadata>) -> Bytes {
        let chain = FilterChain {
            metadata,
            transport_socket_connect_timeout: seconds(15),
            ..Default::default()
        };
        chain.fields()
    }
    match metadata {
        None => into.raw(&USUAL),
        some => into.raw(&rest(some)),
    };
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
