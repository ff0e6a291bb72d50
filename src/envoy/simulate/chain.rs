//! One proxy on the way: the listener that takes the connection, the chain of filters that it chooses,
//! the end of TLS, and what the filters of connections do.

use base::ObjectRef;
use mesh::Proxy;
use proto::codec::type_url;
use proto::envoy::config::core::v3::{TrafficDirection, TransportSocket, transport_socket};
use proto::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use proto::envoy::extensions::filters::network::rbac::v3::Rbac;
use proto::envoy::extensions::filters::network::redis_proxy::v3::RedisProxy;
use proto::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};
use proto::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, common_tls_context::ValidationContextType,
};
use proto::envoy::r#type::matcher::v3::StringMatcher;
use proto::google::protobuf::Any;
use proto::unpack::Unpack;

use super::answer::{Answer, Outcome, Stage, Step, refused, step};
use super::call::{Connection, Content, Shown};
use super::view::{View, object};
use super::{Simulation, Workload, direct, http, listener, matching, policy};

/// What of the way so far matters to what follows.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    /// Gateways that were passed.
    pub(super) through: Vec<String>,
    /// What the proxy before answers when this one closes the connection; absent when it closes, too.
    pub(super) failure: Option<u32>,
}

/// One proxy on the way.
pub(super) struct Hop<'a> {
    pub(super) simulation: &'a Simulation<'a>,
    pub(super) workload: &'a Workload,
    pub(super) view: View<'a>,
    pub(super) trail: Trail,
    /// What becomes of what the workload itself gets; absent where calls go out.
    pub(super) delivered: Option<Outcome>,
}

impl<'a> Hop<'a> {
    /// The sidecar of a caller.
    pub(super) fn outbound(
        simulation: &'a Simulation<'a>,
        workload: &'a Workload,
        proxy: &Proxy,
    ) -> Self {
        Hop {
            simulation,
            workload,
            view: View::of(simulation.mesh, proxy, simulation.endpoints),
            trail: Trail::default(),
            delivered: None,
        }
    }

    pub(super) fn enter(&self) -> Step {
        step(
            Stage::Proxy,
            &self.workload.id,
            self.workload.described(),
            &[],
        )
    }

    /// A call of the workload, captured on its way out.
    pub(super) fn captured(&self, connection: Connection) -> Answer {
        let outbound =
            |listener: &&Listener| listener.traffic_direction == TrafficDirection::Outbound as i32;
        let to = connection.to;
        let own = listener::at(self.view.listeners().filter(outbound), to);
        let catch_all = || {
            let mut all = self.view.listeners().filter(outbound);
            all.find(|listener| listener.use_original_dst.is_some_and(|flag| flag.value))
        };
        let bound = |listener: &Listener| listener.bind_to_port.is_none_or(|flag| flag.value);
        let taken = match own {
            // Calls of loopback are not captured.
            _ if to.ip().is_loopback() => own.filter(|listener| bound(listener)),
            own => own.or_else(catch_all),
        };
        let entered = vec![self.enter()];
        match taken {
            Some(listener) => self.listen(listener, connection),
            None if to.ip().is_loopback() => {
                let why =
                    format!("the sidecar does not listen at {to}, only the workload itself may");
                refused(None, why)
            }
            None => {
                let namespace = &self.workload.namespace;
                direct::call(self.simulation, namespace, connection, None)
            }
        }
        .after(entered)
    }

    /// A connection that a listener takes.
    pub(super) fn listen(&self, listener: &Listener, mut connection: Connection) -> Answer {
        let origin = self.view.origin(type_url::LISTENER, &listener.name);
        let seen = listener::look(listener, &connection);
        if !seen.server_name.is_empty() {
            connection.server_name.clone_from(&seen.server_name);
        }
        let mut steps = vec![step(
            Stage::Listener,
            &listener.name,
            format!("takes {}", connection.to),
            &origin,
        )];
        let Some(chain) = listener::chain(listener, &connection, &seen) else {
            let why = self.closed(listener, &connection, &seen);
            return refused(self.trail.failure, why).after(steps);
        };
        steps.push(self.described(chain, &seen));
        let answer = match self.end_tls(chain, &mut connection) {
            Ok(()) => self.filter(&chain.filters, connection),
            Err(why) => refused(self.trail.failure, why),
        };
        answer.after(steps)
    }

    /// Why no chain takes a connection.
    fn closed(
        &self,
        listener: &Listener,
        connection: &Connection,
        seen: &listener::Seen,
    ) -> String {
        let port = connection.to.port();
        let wanted = match (seen.transport, seen.server_name.as_str()) {
            ("tls", "") => "TLS without a server name".to_owned(),
            ("tls", name) => format!("TLS with server name {name}"),
            _ if self.delivered.is_some() => {
                let workload = &self.workload.name;
                return format!(
                    "plaintext arrives at {workload}, which accepts only mTLS on port {port} (STRICT)"
                );
            }
            _ => "plaintext".to_owned(),
        };
        format!(
            "listener {} has no filter chain for {wanted} on port {port}",
            listener.name
        )
    }

    fn described(&self, chain: &FilterChain, seen: &listener::Seen) -> Step {
        let matched = chain.filter_chain_match.clone().unwrap_or_default();
        let mut said = Vec::new();
        if let Some(port) = matched.destination_port {
            said.push(format!("port {}", port.value));
        }
        if !matched.server_names.is_empty() {
            said.push(format!("server name {}", seen.server_name));
        }
        match matched.transport_protocol.as_str() {
            "raw_buffer" => said.push("plaintext".to_owned()),
            "tls" => said.push("TLS".to_owned()),
            _ => {}
        }
        if !matched.application_protocols.is_empty() {
            let own = seen.protocols.iter();
            let own = own.filter(|name| matched.application_protocols.contains(name));
            said.extend(own.take(1).map(|name| format!("protocol {name}")));
        }
        if said.is_empty() {
            said.push("everything".to_owned());
        }
        let origin: Vec<ObjectRef> = object(chain.metadata.as_ref()).into_iter().collect();
        let said = format!("for {}", said.join(", "));
        match chain.name.as_str() {
            "" => step(Stage::FilterChain, said, "", &origin),
            name => step(Stage::FilterChain, name, said, &origin),
        }
    }

    /// Ends TLS where the chain does.
    fn end_tls(&self, chain: &FilterChain, connection: &mut Connection) -> Result<(), String> {
        let Some(context) = chain.transport_socket.as_ref().and_then(typed) else {
            return Ok(());
        };
        let Some(context) = DownstreamTlsContext::unpack(context) else {
            return Ok(());
        };
        let common = context.common_tls_context.unwrap_or_default();
        let workload = &self.workload.name;
        let Some(hello) = connection.layers.pop() else {
            return Err(format!("plaintext arrives where {workload} demands TLS"));
        };
        let demanded = context
            .require_client_certificate
            .is_some_and(|flag| flag.value);
        match hello.shown {
            Shown::Nothing if demanded => Err(format!(
                "{workload} demands a certificate of the caller, which shows none"
            )),
            Shown::Identity(identity) => {
                let wanted = wanted(&common);
                let fits = |own: &StringMatcher| matching::string(own, &identity);
                if demanded && !wanted.is_empty() && !wanted.iter().any(fits) {
                    return Err(format!("{workload} does not trust {identity}"));
                }
                connection.peer = Some(identity);
                Ok(())
            }
            Shown::Nothing | Shown::Other => Ok(()),
        }
    }

    /// The filters of a connection, in order.
    fn filter(&self, filters: &[Filter], connection: Connection) -> Answer {
        let mut steps = Vec::new();
        for filter in filters {
            let Some(filter::ConfigType::TypedConfig(config)) = &filter.config_type else {
                continue;
            };
            if let Some(rules) = Rbac::unpack(config) {
                let checked = policy::connection(&rules, &connection);
                steps.push(checked.step);
                if let Some(why) = checked.denied {
                    return refused(self.trail.failure, why).after(steps);
                }
            } else if let Some(manager) = HttpConnectionManager::unpack(config) {
                return self.manage(&manager, connection).after(steps);
            } else if let Some(proxy) = TcpProxy::unpack(config) {
                return self.pass(&proxy, &connection).after(steps);
            } else if let Some(proxy) = RedisProxy::unpack(config) {
                let routes = proxy
                    .prefix_routes
                    .and_then(|routes| routes.catch_all_route);
                let cluster = routes.map(|route| route.cluster).unwrap_or_default();
                return self.cluster(&cluster, &connection, None).after(steps);
            } else if config.type_url.ends_with("ExtAuthz") {
                let said = "asks another service, which is taken to agree";
                steps.push(step(Stage::Filter, &filter.name, said, &[]));
            }
        }
        refused(self.trail.failure, "no filter takes the connection on").after(steps)
    }

    /// Requests, where they can be read.
    fn manage(&self, manager: &HttpConnectionManager, connection: Connection) -> Answer {
        if !connection.layers.is_empty() {
            let why = "TLS arrives where plaintext HTTP is expected";
            return refused(self.trail.failure, why);
        }
        match connection.content.clone() {
            Content::Http(request) => http::manage(self, manager, request, connection),
            Content::Opaque => refused(None, "what is no HTTP arrives where HTTP is expected"),
        }
    }

    /// Connections that go on as they are.
    fn pass(&self, proxy: &TcpProxy, connection: &Connection) -> Answer {
        match &proxy.cluster_specifier {
            Some(tcp_proxy::ClusterSpecifier::Cluster(name)) => {
                let mut steps = Vec::new();
                if let Some(tunnel) = &proxy.tunneling_config {
                    let said = format!("the connection goes inside of HTTP to {}", tunnel.hostname);
                    steps.push(step(Stage::Filter, "tcp_proxy", said, &[]));
                }
                self.cluster(name, connection, None).after(steps)
            }
            Some(tcp_proxy::ClusterSpecifier::WeightedClusters(all)) => {
                let sum: f64 = all.clusters.iter().map(|own| f64::from(own.weight)).sum();
                let parts = all.clusters.iter().map(|own| {
                    let answer = self.cluster(&own.name, connection, None);
                    (f64::from(own.weight) / sum, answer)
                });
                Answer::split(parts.collect())
            }
            None => refused(None, "the filter names no cluster"),
        }
    }
}

/// The configuration of a transport socket.
pub(super) fn typed(socket: &TransportSocket) -> Option<&Any> {
    match &socket.config_type {
        Some(transport_socket::ConfigType::TypedConfig(config)) => Some(config),
        None => None,
    }
}

/// Names of which a certificate of the other side must have one; none when all will do.
#[allow(deprecated, reason = "the form that upstream still sends")]
pub(super) fn wanted(common: &CommonTlsContext) -> Vec<StringMatcher> {
    let context = match &common.validation_context_type {
        Some(ValidationContextType::ValidationContext(own)) => Some(own),
        Some(ValidationContextType::CombinedValidationContext(own)) => {
            own.default_validation_context.as_ref()
        }
        _ => None,
    };
    context.map_or_else(Vec::new, |own| own.match_subject_alt_names.clone())
}
