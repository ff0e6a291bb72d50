//! Which endpoints a proxy can reach, and by which way: those of other networks by the gateways of
//! these, whose weights are the sums of what stands behind them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use api::snapshot::{Address, Endpoint, Health, Labels};
use mesh::{Families, NetworkGateway, Networks, Role, Scope, Service};

use super::{EndpointView, uses_mutual_tls};

/// Label of endpoints.
const NETWORK: &str = "topology.istio.io/network";
/// Label of endpoints.
pub(super) const CLUSTER: &str = "topology.istio.io/cluster";
/// Label of pods that are to get no new sessions.
const DRAINING: &str = "istio.io/draining";
/// Label of services whose sessions stick to endpoints.
const SESSIONS: &str = "istio.io/persistent-session";

/// Which endpoints a proxy can reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Reach {
    /// All networks.
    pub networks: Arc<Networks>,
    /// The proxy's own; empty when nobody says it.
    pub network: String,
    /// The proxy's cluster.
    pub cluster: String,
    /// The only networks that it wants to see; all when empty.
    pub view: Vec<String>,
    /// Its IP families.
    pub families: Families,
    /// Whether it takes all addresses of an endpoint.
    pub dual_stack: bool,
    /// The only node whose endpoints serve it (`internalTrafficPolicy: Local`).
    pub node: Option<String>,
    /// Whether endpoints are sent that only keep the sessions that they have.
    pub draining: bool,
    /// Whether it stands for one workload.
    pub sidecar: bool,
}

impl Reach {
    /// What a proxy can reach of a service.
    pub(crate) fn of(scope: &Scope, service: &Service) -> Self {
        let workload = &scope.workload;
        let sessions = service.labels.get(SESSIONS);
        Reach {
            networks: scope.networks.clone(),
            network: workload.network.clone(),
            cluster: workload.cluster.clone(),
            view: scope.settings.view.clone(),
            families: scope.families,
            dual_stack: scope.features.dual_stack,
            node: service.internal_local.then(|| workload.node.clone()),
            draining: sessions.is_some_and(|name| !name.is_empty()),
            sidecar: scope.role == Role::Sidecar,
        }
    }

    /// Whether an endpoint is for the proxy at all.
    pub(super) fn includes(&self, endpoint: &Endpoint) -> bool {
        let labelled = endpoint.labels.get(DRAINING);
        let drains =
            endpoint.health == Health::Draining || labelled.is_some_and(|value| !value.is_empty());
        let network = self.networks.of(endpoint);
        (self.draining || !drains)
            && self.node.as_ref().is_none_or(|node| *node == endpoint.node)
            && (self.view.is_empty()
                || network.is_empty()
                || self.view.iter().any(|wanted| wanted == network))
    }

    /// Whether an endpoint has the labels of a subset; where it stands counts as labels too.
    pub(super) fn selects(&self, subset: &Labels, endpoint: &Endpoint) -> bool {
        subset.iter().all(|(key, value)| {
            let place = &endpoint.locality;
            let derived = match key.as_str() {
                "topology.kubernetes.io/region" => place.region.as_str(),
                "topology.kubernetes.io/zone" => place.zone.as_str(),
                "topology.istio.io/subzone" => place.sub_zone.as_str(),
                "topology.istio.io/cluster" => self.cluster.as_str(),
                "kubernetes.io/hostname" => endpoint.node.as_str(),
                NETWORK => self.networks.of(endpoint),
                _ => "",
            };
            if derived.is_empty() {
                endpoint.labels.get(key) == Some(value)
            } else {
                derived == value
            }
        })
    }

    fn is_own(&self, network: &str) -> bool {
        network.is_empty() || self.network.is_empty() || network == self.network
    }

    /// The gateways of a network that the proxy can use, and whether there is any.
    fn gateways(&self, network: &str) -> (Vec<&NetworkGateway>, bool) {
        let all = self.networks.gateways(network, &self.cluster);
        let known = !all.is_empty();
        let Families { v4, v6 } = self.families;
        let usable = |gateway: &&NetworkGateway| v4 == v6 || gateway.address.is_ipv4() == v4;
        (all.into_iter().filter(usable).collect(), known)
    }
}

/// The endpoints as the proxy calls them: those of other networks stand for their gateways.
pub(super) fn reached<'a>(
    view: &EndpointView,
    endpoints: impl Iterator<Item = &'a Endpoint>,
) -> Vec<Cow<'a, Endpoint>> {
    let reach = &view.reach;
    let drained = |endpoint: &'a Endpoint| {
        let labelled = endpoint.labels.get(DRAINING);
        if labelled.is_none_or(String::is_empty) {
            return Cow::Borrowed(endpoint);
        }
        let mut own = endpoint.clone();
        own.health = Health::Draining;
        Cow::Owned(own)
    };
    if !reach.networks.are_several() {
        return endpoints.map(drained).collect();
    }
    let scale = reach.networks.scale();
    let mut found: Vec<Cow<Endpoint>> = Vec::new();
    let mut behind: BTreeMap<_, (&Endpoint, u32)> = BTreeMap::new();
    for endpoint in endpoints {
        let network = reach.networks.of(endpoint);
        let (gateways, known) = reach.gateways(network);
        let weight = endpoint.weight.max(1).saturating_mul(scale);
        let by_gateway = reach.network.is_empty() && !network.is_empty() && known;
        if !by_gateway && (reach.is_own(network) || !known) {
            let mut own = drained(endpoint);
            if own.weight.max(1) != weight {
                own.to_mut().weight = weight;
            }
            found.push(own);
            continue;
        }
        // Gateways find the way by the server name of mTLS.
        if gateways.is_empty() || !uses_mutual_tls(view, endpoint) {
            continue;
        }
        let count = u32::try_from(gateways.len()).unwrap_or(u32::MAX);
        for gateway in gateways {
            let key = (
                &endpoint.locality,
                gateway.address.to_string(),
                gateway.port,
                network.to_owned(),
                gateway.cluster.clone(),
            );
            let entry = behind.entry(key).or_insert((endpoint, 0));
            entry.1 = entry.1.saturating_add(weight / count);
        }
    }
    for ((locality, address, port, network, cluster), (_, weight)) in behind {
        let labels = [(NETWORK, &network), (CLUSTER, &cluster)];
        let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
        let Ok(ip) = address.parse() else { continue };
        found.push(Cow::Owned(Endpoint {
            address: Address::Ip(ip),
            more: Vec::new(),
            ports: Arc::new(BTreeMap::from([(view.port.clone(), port)])),
            labels: Arc::new(
                labels
                    .map(|(key, value)| (key.to_owned(), value.clone()))
                    .collect::<Labels>(),
            ),
            namespace: String::new(),
            workload: String::new(),
            service_account: String::new(),
            hostname: None,
            node: String::new(),
            locality: locality.clone(),
            network,
            by_number: None,
            in_cluster: false,
            mutual_tls: true,
            weight: weight.max(1),
            health: Health::Unknown,
        }));
    }
    found
}
