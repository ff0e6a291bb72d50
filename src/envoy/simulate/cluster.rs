//! A cluster: whether it is there, where it leads, how it is spoken to.

use base::ObjectRef;
use proto::codec::type_url;
use proto::envoy::config::cluster::v3::{Cluster, cluster};
use proto::envoy::config::core::v3::Metadata;
use proto::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
use proto::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
use proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use proto::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
};
use proto::envoy::r#type::matcher::v3::StringMatcher;
use proto::google::protobuf::{Any, Struct, Value, value::Kind};
use proto::unpack::Unpack;

use super::answer::{Answer, Outcome, Reached, Stage, refused, step};
use super::call::{Connection, Hello, Shown, without_port};
use super::chain::{Hop, typed, wanted};
use super::{direct, endpoint, over};
use crate::names;

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A request that is to go to a cluster; connections have none.
pub(super) struct Asked {
    /// The host, for TLS that is called like it.
    pub(super) host: String,
    /// Whether the caller speaks HTTP/2.
    pub(super) http2: bool,
    /// Whether ALPN tells the other side of the mesh what is inside.
    pub(super) alpn: bool,
    /// The status when the cluster is missing.
    pub(super) missing: u32,
}

impl Hop<'_> {
    /// What becomes of a connection, or of the request in it, that is to go to a cluster.
    pub(super) fn cluster(
        &self,
        name: &str,
        connection: &Connection,
        asked: Option<&Asked>,
    ) -> Answer {
        let failure = asked.map(|_| 503).or(self.trail.failure);
        let Some(cluster) = self.view.cluster(name) else {
            let said = "does not exist";
            return refused(
                asked.map(|asked| asked.missing).or(failure),
                self.missing(name),
            )
            .after(vec![step(Stage::Cluster, name, said, &[])]);
        };
        let origin = self.view.origin(type_url::CLUSTER, name);
        if let Some(delivered) = &self.delivered {
            let at = self.view.assignment(&cluster);
            let at = endpoint::first(&at)
                .map(|at| format!(" at {at}"))
                .unwrap_or_default();
            let said = format!("hands it to {}{at}", self.workload.name);
            return Answer::of(delivered.clone()).after(vec![step(
                Stage::Cluster,
                name,
                said,
                &origin,
            )]);
        }
        if name == names::BLACK_HOLE {
            return Answer::of(Outcome::BlackHole).after(vec![step(Stage::Cluster, name, "", &[])]);
        }
        if name == names::PASSTHROUGH {
            let to = connection.to.to_string();
            let said = format!("goes on to {to}, where it was bound");
            let namespace = &self.workload.namespace;
            let passed = direct::Passed {
                end: Outcome::PassThrough { to },
                failure,
            };
            return direct::call(self.simulation, namespace, connection.clone(), Some(passed))
                .after(vec![step(Stage::Cluster, name, said, &[])]);
        }
        let way = Towards {
            hop: self,
            cluster: &cluster,
            connection,
            asked,
            failure,
        };
        way.answer(&origin)
    }

    /// Why a cluster is missing, in words of what the user wrote.
    fn missing(&self, name: &str) -> String {
        let ["outbound", port, subset, host] = name.split('|').collect::<Vec<_>>()[..] else {
            return format!("cluster {name} does not exist");
        };
        let short = self.simulation.short(host, &self.workload.namespace);
        let whole = format!("outbound|{port}||{host}");
        if !subset.is_empty() && self.view.cluster_names().any(|own| own == whole) {
            let workload = &self.workload.name;
            return format!(
                "no DestinationRule that {workload} sees gives {short} a subset {subset}"
            );
        }
        let others = self.view.cluster_names().filter_map(|own| {
            match own.split('|').collect::<Vec<_>>()[..] {
                ["outbound", port, "", own] if own == host => Some(port),
                _ => None,
            }
        });
        let others: Vec<&str> = others.collect();
        if others.is_empty() {
            let workload = &self.workload.name;
            return format!("no Service or ServiceEntry that {workload} sees has host {host}");
        }
        format!("{short} has no port {port}, but {}", others.join(", "))
    }
}

/// A cluster that a call goes to.
pub(super) struct Towards<'a> {
    pub(super) hop: &'a Hop<'a>,
    pub(super) cluster: &'a Cluster,
    pub(super) connection: &'a Connection,
    asked: Option<&'a Asked>,
    /// What the caller sees when the other side ends the connection.
    pub(super) failure: Option<u32>,
}

impl Towards<'_> {
    fn answer(&self, origin: &[ObjectRef]) -> Answer {
        let kind = match &self.cluster.cluster_discovery_type {
            Some(cluster::ClusterDiscoveryType::Type(kind)) => *kind,
            Some(cluster::ClusterDiscoveryType::ClusterType(_)) => {
                let said = "resolves the name that the caller asks for";
                let name = &self.cluster.name;
                let (onward, _) = self.speak(None);
                return Answer::of(Outcome::Reaches(self.reached(&onward, None)))
                    .after(vec![step(Stage::Cluster, name, said, origin)]);
            }
            None => cluster::DiscoveryType::Static as i32,
        };
        let said = match cluster::DiscoveryType::try_from(kind) {
            Ok(cluster::DiscoveryType::StrictDns | cluster::DiscoveryType::LogicalDns) => {
                "endpoints by DNS"
            }
            Ok(cluster::DiscoveryType::OriginalDst) => "the endpoint that the caller chose",
            _ => "",
        };
        let steps = vec![step(Stage::Cluster, &self.cluster.name, said, origin)];
        if kind == cluster::DiscoveryType::OriginalDst as i32 {
            return endpoint::original(self).after(steps);
        }
        endpoint::balanced(self).after(steps)
    }

    /// The service that is reached when the connection goes on like this.
    pub(super) fn reached(&self, onward: &Connection, workload: Option<String>) -> Reached {
        let parts: Vec<&str> = self.cluster.name.split('|').collect();
        let (port, subset, host) = match parts[..] {
            ["outbound", port, subset, host] => (port, subset, host),
            // That of a gateway between networks.
            _ => match self.cluster.name.split("_.").collect::<Vec<_>>()[..] {
                ["outbound", port, subset, host] => (port.trim_end_matches('_'), subset, host),
                _ => ("", "", self.cluster.name.as_str()),
            },
        };
        Reached {
            name: self
                .hop
                .simulation
                .short(host, &self.hop.workload.namespace),
            host: host.to_owned(),
            port: port.parse().unwrap_or(onward.to.port()),
            subset: subset.trim_end_matches('_').to_owned(),
            over: over(onward),
            workloads: workload.into_iter().collect(),
            through: self.hop.trail.through.clone(),
        }
    }

    /// The connection that goes on to an endpoint with this metadata, and in words how.
    pub(super) fn speak(&self, endpoint: Option<&Metadata>) -> (Connection, String) {
        let mut onward = Connection {
            from: self.hop.workload.addresses.first().copied(),
            peer: None,
            ..self.connection.clone()
        };
        let Some(context) = self.context(endpoint) else {
            let how = match onward.layers.last() {
                Some(_) => "in the caller's own TLS".to_owned(),
                None => "in plaintext".to_owned(),
            };
            return (onward, how);
        };
        let common = context.common_tls_context.clone().unwrap_or_default();
        let options = self.options();
        let from_host = options
            .as_ref()
            .and_then(|own| own.upstream_http_protocol_options.as_ref())
            .is_some_and(|own| own.auto_sni);
        let server_name = match (&self.asked, context.sni.as_str()) {
            (Some(asked), "") if from_host => without_port(&asked.host).to_owned(),
            (_, own) => own.to_owned(),
        };
        let mut certificates = common.tls_certificate_sds_secret_configs.iter();
        let shown = match certificates.next() {
            Some(secret) if secret.name == "default" => {
                Shown::Identity(self.hop.simulation.identity(self.hop.workload))
            }
            Some(_) => Shown::Other,
            None if !common.tls_certificates.is_empty() => Shown::Other,
            None => Shown::Nothing,
        };
        let mutual = matches!(shown, Shown::Identity(_));
        let mut how = match &shown {
            Shown::Identity(identity) => format!("over mTLS as {identity}"),
            Shown::Other => "over TLS with a certificate of its own".to_owned(),
            Shown::Nothing => "over TLS".to_owned(),
        };
        if !server_name.is_empty() {
            how = format!("{how}, server name {server_name}");
        }
        let alpn = match &self.asked {
            Some(asked) if asked.alpn && mutual && !self.keeps_alpn() => {
                let names: [&str; 3] = if self.is_http2(asked.http2) {
                    ["istio-h2", "istio", "h2"]
                } else {
                    ["istio-http/1.1", "istio", "http/1.1"]
                };
                names.map(str::to_owned).to_vec()
            }
            _ => common.alpn_protocols.clone(),
        };
        onward.layers.push(Hello {
            server_name,
            alpn,
            shown,
        });
        (onward, how)
    }

    /// Names of which the certificate of an endpoint must have one.
    pub(super) fn wanted(&self, endpoint: Option<&Metadata>) -> Vec<StringMatcher> {
        let context = self.context(endpoint);
        let common = context.and_then(|context| context.common_tls_context);
        common.map_or_else(Vec::new, |common| wanted(&common))
    }

    /// TLS towards an endpoint.
    fn context(&self, endpoint: Option<&Metadata>) -> Option<UpstreamTlsContext> {
        const MATCHED: &str = "envoy.transport_socket_match";
        let none = Struct::default();
        let told = endpoint.and_then(|own| own.filter_metadata.get(MATCHED));
        let told = told.unwrap_or(&none);
        let mut matches = self.cluster.transport_socket_matches.iter();
        let chosen = matches
            .find(|own| own.r#match.as_ref().is_none_or(|own| within(own, told)))
            .and_then(|own| own.transport_socket.as_ref());
        let config = typed(chosen.or(self.cluster.transport_socket.as_ref())?)?;
        inner(config)
    }

    fn options(&self) -> Option<HttpProtocolOptions> {
        let own = self
            .cluster
            .typed_extension_protocol_options
            .get(HTTP_OPTIONS);
        own.and_then(HttpProtocolOptions::unpack)
    }

    /// Whether HTTP/2 is spoken to the cluster.
    fn is_http2(&self, caller: bool) -> bool {
        let options = self.options().and_then(|own| own.upstream_protocol_options);
        match options {
            Some(UpstreamProtocolOptions::ExplicitHttpConfig(own)) => {
                matches!(
                    own.protocol_config,
                    Some(ProtocolConfig::Http2ProtocolOptions(_))
                )
            }
            Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(_)) => caller,
            _ => false,
        }
    }

    /// Whether the mesh's own ALPN is none of the other side's business.
    fn keeps_alpn(&self) -> bool {
        let metadata = self.cluster.metadata.as_ref();
        let istio = metadata.and_then(|own| own.filter_metadata.get("istio"));
        let told = istio.and_then(|own| own.fields.get("alpn_override"));
        told.is_some_and(|value| value.kind == Some(Kind::StringValue("false".to_owned())))
    }
}

/// TLS, whatever stands around it.
fn inner(config: &Any) -> Option<UpstreamTlsContext> {
    if let Some(wrapped) = ProxyProtocolUpstreamTransport::unpack(config) {
        return inner(typed(wrapped.transport_socket.as_ref()?)?);
    }
    UpstreamTlsContext::unpack(config)
}

/// Whether all fields of one are the other's.
fn within(wanted: &Struct, told: &Struct) -> bool {
    let mut fields = wanted.fields.iter();
    fields.all(|(key, value): (&String, &Value)| told.fields.get(key) == Some(value))
}
