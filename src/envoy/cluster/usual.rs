//! Clusters of services whose endpoints the control plane tells and that no rule says anything of: most of
//! all. Services of one kind differ in names, so all else is built and encoded once for each kind.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use api::snapshot::{HostId, Labels, Timestamp, TrafficDistribution};
use base::ObjectRef;
use base::hash::Map;
use bytes::Bytes;
use mesh::{
    Mode, OutboundService, Port, Protocol, Registry, Resolution, Scope, Service, Target, Visibility,
};
use proto::envoy::config::cluster::v3 as wire;
use proto::pack::Put;
use proto::writer::Writer;

use super::outbound::{self, Mode as For, SESSIONS};
use super::{Made, put_greeting, tls};
use crate::parts::ads;
use crate::{EndpointView, names, statistics};

/// Field numbers of `Cluster` and `EdsClusterConfig`.
const NAME: u32 = 1;
const STATISTICS: u32 = 28;
const ENDPOINTS: u32 = 3;
const SERVICE_NAME: u32 = 2;

/// What is known of the kinds of services of a scope.
pub(crate) struct Usual<'a> {
    pub(super) scope: &'a Scope,
    known: RefCell<Map<Kind, Option<Rc<Shape>>>>,
}

/// All that such a cluster depends on beside the scope and its names.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Kind {
    protocol: Protocol,
    external: bool,
    mode: Mode,
    /// Whether the service has each of [`SESSIONS`].
    sessions: [bool; 2],
    traffic_distribution: Option<TrafficDistribution>,
    internal_local: bool,
}

/// A cluster without names.
struct Shape {
    fields: Bytes,
    view: EndpointView,
    /// Whether HTTP/2 is spoken, where the mesh's mTLS is used with endpoints that can.
    secured: Option<bool>,
}

impl<'a> Usual<'a> {
    pub(crate) fn new(scope: &'a Scope) -> Self {
        Usual {
            scope,
            known: RefCell::default(),
        }
    }

    /// The cluster of a port; `None` where more than its kind decides.
    pub(super) fn of_port(&self, called: &OutboundService, port: &Port) -> Option<Made> {
        static ADS: LazyLock<Bytes> = LazyLock::new(|| {
            let by_ads = wire::cluster::EdsClusterConfig {
                eds_config: Some(ads()),
                ..Default::default()
            };
            by_ads.fields()
        });
        let (scope, service) = (self.scope, &*called.service);
        let special = called.rule.is_some()
            || service.resolution != Resolution::Endpoints
            || !service.port_overrides.is_empty()
            || scope.gateways.passes_mesh
            || scope.settings.client_files.is_some()
            || scope.config.default_traffic_policy.is_some();
        if special {
            return None;
        }
        let shape = self.shape(Kind::of(called, port))?;
        let name = names::outbound(port.number, "", &service.id.host);
        let statistics = statistics::outbound(scope, service, "", (port.number, &port.name));
        let statistics = statistics.as_deref().unwrap_or(&name);
        let mut encoded = Writer::with_capacity(2048);
        encoded
            .text(NAME, &name)
            .nested(STATISTICS, |text| {
                text.raw(statistics.as_bytes()).raw(b";");
            })
            .nested(ENDPOINTS, |endpoints| {
                endpoints.raw(&ADS).text(SERVICE_NAME, &name);
            })
            .raw(&shape.fields);
        put_greeting(scope, &mut encoded);
        outbound::put_metadata(called, None, For::Calls, false, &mut encoded);
        if let Some(http2) = shape.secured {
            tls::put_auto(scope, called, port, http2, &mut encoded);
        }
        Some(Made {
            encoded,
            origin: outbound::origin(scope, called),
            endpoints: Some(EndpointView {
                cluster: name.clone(),
                host: service.id.clone(),
                port: port.name.clone(),
                number: port.number,
                ..shape.view.clone()
            }),
            name,
        })
    }

    fn shape(&self, kind: Kind) -> Option<Rc<Shape>> {
        let mut known = self.known.borrow_mut();
        let shape = known.entry(kind.clone());
        let shape = shape.or_insert_with(|| Shape::of(self.scope, &kind).map(Rc::new));
        shape.clone()
    }
}

impl Kind {
    fn of(called: &OutboundService, port: &Port) -> Self {
        let service = &called.service;
        let label = |name: &str| service.labels.get(name).is_some_and(|own| !own.is_empty());
        Kind {
            protocol: port.protocol,
            external: service.external,
            mode: called.mode,
            sessions: SESSIONS.map(label),
            traffic_distribution: service.traffic_distribution,
            internal_local: service.internal_local,
        }
    }

    /// A service of which nothing else is known: what is made for it depends on nothing else.
    fn stand_in(&self) -> OutboundService {
        let sessions = SESSIONS.iter().zip(self.sessions).filter(|(_, has)| *has);
        OutboundService {
            rule: None,
            mode: self.mode,
            service: Arc::new(Service {
                id: HostId {
                    namespace: String::new(),
                    host: String::new(),
                },
                name: String::new(),
                origin: Arc::new(ObjectRef {
                    api_version: String::new(),
                    kind: String::new(),
                    namespace: None,
                    name: String::new(),
                }),
                registry: Registry::Kubernetes,
                created: Timestamp::UNIX_EPOCH,
                ports: Vec::new(),
                addresses: Vec::new(),
                allocated: Vec::new(),
                resolution: Resolution::Endpoints,
                external: self.external,
                visibility: Visibility::Public,
                selector: None,
                accounts: Arc::default(),
                labels: sessions
                    .map(|(name, _)| ((*name).to_owned(), "yes".to_owned()))
                    .collect::<Labels>(),
                aliases: Vec::new(),
                alias_of: None,
                subject_alt_names: Vec::new(),
                mutual_ports: Arc::default(),
                spelled_out: None,
                traffic_distribution: self.traffic_distribution,
                internal_local: self.internal_local,
                external_addresses: Vec::new(),
                node_ports: Default::default(),
                publish_not_ready: false,
                port_overrides: Default::default(),
                resolves_both_families: false,
                listed: Arc::default(),
            }),
        }
    }
}

impl Shape {
    fn of(scope: &Scope, kind: &Kind) -> Option<Self> {
        let port = Port {
            number: 0,
            name: String::new(),
            protocol: kind.protocol,
            target: Target::Number(0),
        };
        let built = outbound::one(scope, &kind.stand_in(), &port, None, For::Calls, None)?;
        let cluster = wire::Cluster {
            name: String::new(),
            alt_stat_name: String::new(),
            eds_cluster_config: None,
            ..built.cluster
        };
        Some(Shape {
            fields: cluster.fields(),
            view: built.endpoints?,
            secured: built.secured,
        })
    }
}

#[cfg(test)]
mod tests;
