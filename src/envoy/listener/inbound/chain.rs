//! Filter chains of a port of the workload: which connections may come, by what the mTLS mode and the protocol of the
//! port allow, and what each passes. They are written as they are made.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use bytes::Bytes;
use mesh::{InboundPort, Mode, Protocol, Scope};
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::listener::v3::FilterChain;
use proto::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use proto::pack::Put;
use proto::writer::Writer;

use super::{binds, mesh_tls};
use crate::filter::guards::Guards;
use crate::listener::filter_chain::{self, CHAIN_NAME, CHAINS, MATCH, Routes, Side, Statistics};
use crate::listener::outbound::plain_http;
use crate::listener::{http, opaque, server_tls};
use crate::{metadata, names, route};

const MESH_HTTP: [&str; 3] = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
const MESH_TCP: [&str; 2] = ["istio-peer-exchange", "istio"];
const MESH_ALL: [&str; 5] = [
    "istio",
    "istio-peer-exchange",
    "istio-http/1.0",
    "istio-http/1.1",
    "istio-h2",
];

/// Field numbers of `FilterChainMatch`, beside those that outbound listeners write too.
const TRANSPORT: u32 = 9;
const PROTOCOLS: u32 = 10;

/// What a connection must look like, and how it is served then.
#[derive(Clone, Copy)]
struct Chain {
    transport: &'static str,
    protocols: &'static [&'static str],
    /// Whether TLS ends here.
    tls: bool,
    http: bool,
}

fn on(transport: &'static str, protocols: &'static [&'static str], tls: bool, http: bool) -> Chain {
    Chain {
        transport,
        protocols,
        tls,
        http,
    }
}

/// The chains of a port, by mode and protocol.
fn chains(scope: &Scope, mode: Mode, protocol: Protocol) -> Vec<Chain> {
    let (http, unknown) = (protocol.is_http(), protocol == Protocol::Unsupported);
    let plain = on("raw_buffer", plain_http(scope), false, true);
    match mode {
        Mode::Permissive if unknown => vec![
            on("tls", &MESH_HTTP, true, true),
            plain,
            on("tls", &MESH_TCP, true, false),
            on("raw_buffer", &[], false, false),
            on("tls", &[], false, false),
        ],
        Mode::Permissive if http => vec![
            on("tls", &MESH_ALL, true, true),
            on("raw_buffer", &[], false, true),
        ],
        Mode::Permissive => vec![
            on("tls", &MESH_ALL, true, false),
            on("tls", &[], false, false),
            on("raw_buffer", &[], false, false),
        ],
        Mode::Strict if unknown => vec![
            on("tls", &MESH_HTTP, true, true),
            on("tls", &[], true, false),
        ],
        Mode::Strict => vec![on("tls", &[], true, http)],
        Mode::Disable if unknown => vec![plain, on("raw_buffer", &[], false, false)],
        Mode::Disable => vec![on("raw_buffer", &[], false, http)],
    }
}

/// The chains of a port with TLS of its own.
fn of_own_tls(protocol: Protocol) -> Vec<Chain> {
    vec![on("tls", &[], true, protocol.is_http())]
}

/// The chains of a listener, and what has to be found out before one is chosen.
#[derive(Default)]
pub(super) struct Chains {
    pub(super) written: Writer,
    /// By port, of which 0 stands for all others.
    pub(super) looks: BTreeMap<u16, Look>,
}

/// What has to be found out about connections to a port.
#[derive(Clone, Copy, Default)]
pub(super) struct Look {
    pub(super) tls: bool,
    pub(super) http: bool,
}

/// What all chains of a workload are made from; what many have is encoded once.
pub(super) struct Making<'a> {
    pub(super) scope: &'a Scope,
    guards: &'a Guards,
    managers: http::Managers<'a>,
    /// What every connection passes first.
    greeting: Bytes,
    metrics: Bytes,
    /// Guards of connections.
    connections: Bytes,
    /// Where connections that are no HTTP end, but for the name of that.
    proxy: Bytes,
    /// TLS of the mesh, by whether HTTP is inside.
    sockets: [OnceCell<Bytes>; 2],
}

impl<'a> Making<'a> {
    pub(super) fn new(scope: &'a Scope, guards: &'a Guards) -> Self {
        let greeting = filter_chain::greeting(scope, Side::Inbound);
        let proxy = TcpProxy {
            stat_prefix: String::new(),
            cluster_specifier: None,
            ..filter_chain::to(scope, Side::Inbound, "")
        };
        Making {
            scope,
            guards,
            managers: http::Managers::new(scope),
            greeting: filter_chain::encoded(greeting.into_iter().collect()),
            metrics: filter_chain::encoded(filter_chain::metrics(scope, Side::Inbound)),
            connections: filter_chain::encoded(guards.connections.clone()),
            proxy: proxy.fields(),
            sockets: Default::default(),
        }
    }

    /// The chain of connections that were made to the port of capture itself: these would go in circles.
    pub(super) fn put_black_hole(&self, captured: u16, into: &mut Chains) {
        let chain = on("", &[], false, false);
        into.add("virtualInbound-blackhole", Some(captured), chain, |made| {
            made.raw(&self.greeting).raw(&self.metrics);
            filter_chain::put_proxy(names::BLACK_HOLE, names::BLACK_HOLE, &[], made);
        });
    }

    /// Chains for one port of the workload, for another port that differs in its mode, or for the rest.
    pub(super) fn put(
        &self,
        number: Option<u16>,
        port: Option<&InboundPort>,
        mode: Mode,
        into: &mut Chains,
    ) {
        let scope = self.scope;
        let protocol = port.map_or(Protocol::Unsupported, |port| port.port.protocol);
        let cluster = match port {
            Some(port) => names::inbound(port.target),
            None => names::INBOUND_PASSTHROUGH.to_owned(),
        };
        let own = port.map(|port| format!("{}_{}", binds(scope, port)[0], port.target));
        let statistics = match &own {
            Some(name) => format!("inbound_{name}"),
            None => cluster.clone(),
        };
        let sidecar = port.and_then(|port| port.listener.as_ref());
        // TLS of a Sidecar's own ends where the mesh's does not.
        let tls = sidecar.and_then(|own| own.tls.as_ref());
        let tls = tls.filter(|_| mode == Mode::Disable);
        let chains = match tls {
            Some(_) => of_own_tls(protocol),
            None => chains(scope, mode, protocol),
        };
        let routes: OnceCell<Bytes> = OnceCell::new();
        for chain in chains {
            let name = match (&own, chain.http) {
                (Some(name), _) => name.as_str(),
                (None, true) => "virtualInbound-catchall-http",
                (None, false) => "virtualInbound",
            };
            into.add(name, number, chain, |made| {
                made.raw(&self.greeting);
                if chain.http {
                    let routes =
                        routes.get_or_init(|| route::inbound(scope, &cluster, port).fields());
                    let wanted = http::Wanted {
                        side: Side::Inbound,
                        statistics: Statistics::Listener(&statistics),
                        protocol,
                        routes: Routes::Inline(routes.clone()),
                        dynamic: None,
                        http1: None,
                        guards: &self.guards.requests,
                    };
                    self.managers.put(wanted, made);
                } else {
                    made.raw(&self.connections).raw(&self.metrics);
                    self.put_ending(protocol, port, &cluster, made);
                }
                match tls {
                    Some(tls) => {
                        made.raw(&socket(server_tls::socket(scope, tls, !chain.http)));
                    }
                    None if chain.tls => {
                        let known = &self.sockets[usize::from(chain.http)];
                        made.raw(known.get_or_init(|| {
                            let mut socket = Writer::with_capacity(1024);
                            mesh_tls::put(scope, chain.http, &mut socket);
                            socket.into_bytes()
                        }));
                    }
                    None => {}
                }
                if let Some(own) = sidecar {
                    let chain = FilterChain {
                        metadata: Some(metadata::config(&own.origin)),
                        ..FilterChain::default()
                    };
                    chain.put(made);
                }
            });
        }
    }

    /// Writes how opaque connections to a cluster end.
    fn put_ending(
        &self,
        protocol: Protocol,
        port: Option<&InboundPort>,
        cluster: &str,
        into: &mut Writer,
    ) {
        let scope = self.scope;
        let statistics = crate::statistics::connections(scope, port);
        if opaque::looks_into(scope, protocol) {
            let mut proxy = filter_chain::to(scope, Side::Inbound, cluster);
            proxy.stat_prefix = statistics.unwrap_or(proxy.stat_prefix);
            let ending = opaque::ending(scope, protocol, proxy);
            into.raw(&filter_chain::encoded(ending));
            return;
        }
        let statistics = statistics.as_deref().unwrap_or(cluster);
        filter_chain::put_proxy(statistics, cluster, &self.proxy, into);
    }
}

impl Chains {
    /// Adds a chain: what `content` writes, under its conditions.
    fn add(
        &mut self,
        name: &str,
        port: Option<u16>,
        chain: Chain,
        content: impl FnOnce(&mut Writer),
    ) {
        let look = self.looks.entry(port.unwrap_or_default()).or_default();
        look.tls |= chain.transport == "tls";
        look.http |= chain.http && !chain.tls && !chain.protocols.is_empty();
        self.written.block(CHAINS, |made| {
            made.text(CHAIN_NAME, name).nested(MATCH, |matched| {
                if let Some(port) = port {
                    filter_chain::put_port(port, matched);
                }
                if !chain.transport.is_empty() {
                    matched.text(TRANSPORT, chain.transport);
                }
                for name in chain.protocols {
                    matched.text(PROTOCOLS, name);
                }
            });
            content(made);
        });
    }
}

/// A socket as a chain has it.
fn socket(socket: core::TransportSocket) -> Bytes {
    let chain = FilterChain {
        transport_socket: Some(socket),
        ..FilterChain::default()
    };
    chain.fields()
}
