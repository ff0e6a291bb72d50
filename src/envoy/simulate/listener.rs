//! Which listener takes a connection, and which of its filter chains: Envoy's order of criteria, in
//! which the most specific value of each is taken for good, and the default chain takes what is left.

use std::net::{IpAddr, SocketAddr};

use proto::envoy::config::core::v3 as core;
use proto::envoy::config::listener::v3::{
    FilterChain, FilterChainMatch, Listener, ListenerFilterChainMatchPredicate, listener_filter,
    listener_filter_chain_match_predicate::Rule,
};

use super::call::{Connection, Content};
use super::matching::within;

/// The listener that is bound to an address, or to every address with its port.
pub(super) fn at<'a>(
    listeners: impl Iterator<Item = &'a Listener> + Clone,
    to: SocketAddr,
) -> Option<&'a Listener> {
    let bound = |ip: IpAddr| {
        let mut all = listeners.clone();
        all.find(|listener| addresses(listener).any(|own| own == SocketAddr::new(ip, to.port())))
    };
    let any: IpAddr = if to.is_ipv4() {
        [0, 0, 0, 0].into()
    } else {
        [0u16; 8].into()
    };
    bound(to.ip()).or_else(|| bound(any))
}

/// All addresses of a listener.
fn addresses(listener: &Listener) -> impl Iterator<Item = SocketAddr> {
    let more = listener.additional_addresses.iter();
    let more = more.filter_map(|more| more.address.as_ref());
    let all = listener.address.iter().chain(more);
    all.filter_map(socket)
}

/// An IP address with its port.
pub(super) fn socket(address: &core::Address) -> Option<SocketAddr> {
    let Some(core::address::Address::SocketAddress(socket)) = &address.address else {
        return None;
    };
    let Some(core::socket_address::PortSpecifier::PortValue(port)) = socket.port_specifier else {
        return None;
    };
    Some(SocketAddr::new(
        socket.address.parse().ok()?,
        u16::try_from(port).ok()?,
    ))
}

/// What a listener's own filters find out of a connection.
#[derive(Debug)]
pub(super) struct Seen {
    /// `tls` or `raw_buffer`.
    pub(super) transport: &'static str,
    /// The server name, in lower case; empty for none.
    pub(super) server_name: String,
    /// ALPN that is offered, or what stands for plaintext HTTP.
    pub(super) protocols: Vec<String>,
}

pub(super) fn look(listener: &Listener, connection: &Connection) -> Seen {
    let port = connection.to.port();
    let mut seen = Seen {
        transport: "raw_buffer",
        server_name: String::new(),
        protocols: Vec::new(),
    };
    match (connection.layers.last(), &connection.content) {
        (Some(hello), _) if looks(listener, "TlsInspector", port) => {
            seen.transport = "tls";
            seen.server_name = hello.server_name.to_ascii_lowercase();
            seen.protocols.clone_from(&hello.alpn);
        }
        (None, Content::Http(request)) if looks(listener, "HttpInspector", port) => {
            let protocol = if request.http2 { "h2c" } else { "http/1.1" };
            seen.protocols.push(protocol.to_owned());
        }
        _ => {}
    }
    seen
}

/// Whether a listener has a filter of a type, and it is in force for a port.
fn looks(listener: &Listener, kind: &str, port: u16) -> bool {
    let mut filters = listener.listener_filters.iter();
    filters.any(|filter| {
        let own = match &filter.config_type {
            Some(listener_filter::ConfigType::TypedConfig(any)) => any.type_url.ends_with(kind),
            _ => false,
        };
        let off = filter.filter_disabled.as_ref();
        own && !off.is_some_and(|predicate| holds(predicate, port))
    })
}

fn holds(predicate: &ListenerFilterChainMatchPredicate, port: u16) -> bool {
    match &predicate.rule {
        Some(Rule::OrMatch(set)) => set.rules.iter().any(|rule| holds(rule, port)),
        Some(Rule::AndMatch(set)) => set.rules.iter().all(|rule| holds(rule, port)),
        Some(Rule::NotMatch(rule)) => !holds(rule, port),
        Some(Rule::AnyMatch(all)) => *all,
        Some(Rule::DestinationPortRange(range)) => {
            (range.start..range.end).contains(&i32::from(port))
        }
        None => false,
    }
}

/// The chain of a connection; `None` when it is closed.
pub(super) fn chain<'a>(
    listener: &'a Listener,
    connection: &Connection,
    seen: &Seen,
) -> Option<&'a FilterChain> {
    let default = listener.default_filter_chain.as_ref();
    let none = FilterChainMatch::default();
    let mut left: Vec<(&FilterChain, FilterChainMatch)> = listener
        .filter_chains
        .iter()
        .map(|chain| {
            let matched = chain.filter_chain_match.as_ref().unwrap_or(&none);
            (chain, matched.clone())
        })
        .collect();
    let to = connection.to;
    let ip = |address: Option<IpAddr>| {
        move |own: &FilterChainMatch| ranges(&own.source_prefix_ranges, address)
    };
    keep_best(&mut left, |own| {
        match own.destination_port.as_ref().map(|port| port.value) {
            None => Some(0),
            Some(port) if port == u32::from(to.port()) => Some(1),
            Some(_) => None,
        }
    });
    keep_best(&mut left, |own| ranges(&own.prefix_ranges, Some(to.ip())));
    keep_best(&mut left, |own| names(&own.server_names, &seen.server_name));
    keep_best(&mut left, |own| match own.transport_protocol.as_str() {
        "" => Some(0),
        own if own == seen.transport => Some(1),
        _ => None,
    });
    keep_best(&mut left, |own| {
        if own.application_protocols.is_empty() {
            return Some(0);
        }
        // What is offered first counts most.
        let offered = seen.protocols.iter().rev().enumerate();
        offered
            .filter(|(_, name)| own.application_protocols.contains(name))
            .map(|(place, _)| place + 1)
            .max()
    });
    keep_best(&mut left, |own| {
        ranges(&own.direct_source_prefix_ranges, connection.from)
    });
    keep_best(&mut left, ip(connection.from));
    left.first().map(|(chain, _)| *chain).or(default)
}

/// Keeps the chains that a criterion ranks highest; those without a rank do not match at all.
fn keep_best(
    left: &mut Vec<(&FilterChain, FilterChainMatch)>,
    rank: impl Fn(&FilterChainMatch) -> Option<usize>,
) {
    let best = left.iter().filter_map(|(_, own)| rank(own)).max();
    left.retain(|(_, own)| best.is_some() && rank(own) == best);
}

/// How closely ranges fit an address; none at all fit every address a little.
fn ranges(ranges: &[core::CidrRange], address: Option<IpAddr>) -> Option<usize> {
    if ranges.is_empty() {
        return Some(0);
    }
    let address = address?;
    let fitting = ranges.iter().filter(|range| within(range, address));
    fitting
        .map(|range| range.prefix_len.as_ref().map_or(0, |length| length.value))
        .map(|length| 1 + usize::try_from(length).unwrap_or_default())
        .max()
}

/// How closely names fit a server name: the name itself, then the longest wildcard.
fn names(names: &[String], asked: &str) -> Option<usize> {
    if names.is_empty() {
        return Some(0);
    }
    let fit = |name: &String| match name.strip_prefix('*') {
        Some("") => Some(0),
        Some(suffix) => {
            (asked.len() > suffix.len() && asked.ends_with(suffix)).then_some(suffix.len())
        }
        None => (!asked.is_empty() && name == asked).then_some(usize::MAX),
    };
    names.iter().filter_map(fit).max()
}

#[cfg(test)]
mod tests;
