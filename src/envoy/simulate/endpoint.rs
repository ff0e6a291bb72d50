//! Which endpoints of a cluster get how much, and what becomes of a call at each.

use std::collections::BTreeMap;

use proto::envoy::config::cluster::v3::cluster::common_lb_config::LocalityConfigSpecifier;
use proto::envoy::config::core::v3::{HealthStatus, Metadata, address, socket_address};
use proto::envoy::config::endpoint::v3::{ClusterLoadAssignment, LbEndpoint, lb_endpoint};
use proto::google::protobuf::value::Kind;

use super::answer::{Answer, Outcome, Stage, refused, step};
use super::arrival::arrive;
use super::chain::Trail;
use super::cluster::Towards;
use super::{Shown, listener, matching};

/// How much a priority may lack before the next one gets a part: as Envoy's default has it.
const OVERPROVISIONED: f64 = 1.4;

/// The endpoint that the caller chose by its address.
pub(super) fn original(way: &Towards<'_>) -> Answer {
    let to = way.connection.to;
    let workload = way.hop.simulation.workload_at(to.ip());
    let name = workload.map_or_else(|| to.ip().to_string(), |own| own.name.clone());
    one(way, None, Some(to), name, &to.to_string())
}

/// Those that get requests, by health, priority, locality and weight.
pub(super) fn balanced(way: &Towards<'_>) -> Answer {
    let assignment = way.hop.view.assignment(way.cluster);
    let shares = shares(way, &assignment);
    if shares.is_empty() {
        let count: usize = assignment
            .endpoints
            .iter()
            .map(|group| group.lb_endpoints.len())
            .sum();
        let name = way.reached(way.connection, None).name;
        let why = match count {
            0 => format!("{name} has no endpoint that is ready"),
            count => format!("none of the {count} endpoints of {name} is healthy"),
        };
        return refused(way.failure, why);
    }
    let mut kinds: Vec<(f64, &LbEndpoint)> = Vec::new();
    for (share, endpoint) in shares {
        match kinds.iter_mut().find(|(_, known)| alike(known, endpoint)) {
            Some((sum, _)) => *sum += share,
            None => kinds.push((share, endpoint)),
        }
    }
    let parts = kinds.into_iter().map(|(share, endpoint)| {
        let (to, written) = place(endpoint);
        let name = endpoint.metadata.as_ref().and_then(workload);
        let name = name.filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| written.clone());
        (
            share,
            one(way, endpoint.metadata.as_ref(), to, name, &written),
        )
    });
    Answer::merged(parts.collect())
}

/// Whether two endpoints are replicas of one workload, which fare alike.
fn alike(one: &LbEndpoint, other: &LbEndpoint) -> bool {
    let port = |endpoint| place(endpoint).0.map(|to| to.port());
    let named = one.metadata.as_ref().and_then(workload);
    named.is_some_and(|name| !name.is_empty())
        && one.metadata == other.metadata
        && port(one) == port(other)
}

/// The first address of an assignment.
pub(super) fn first(assignment: &ClusterLoadAssignment) -> Option<String> {
    let mut all = assignment
        .endpoints
        .iter()
        .flat_map(|group| &group.lb_endpoints);
    all.next().map(|endpoint| place(endpoint).1)
}

/// The address of an endpoint, and as it is written.
fn place(endpoint: &LbEndpoint) -> (Option<std::net::SocketAddr>, String) {
    let Some(lb_endpoint::HostIdentifier::Endpoint(own)) = &endpoint.host_identifier else {
        return (None, String::new());
    };
    let address = own.address.as_ref();
    let to = address.and_then(listener::socket);
    let written = match address.and_then(|own| own.address.as_ref()) {
        Some(address::Address::SocketAddress(socket)) => match &socket.port_specifier {
            Some(socket_address::PortSpecifier::PortValue(port)) => {
                format!("{}:{port}", socket.address)
            }
            _ => socket.address.clone(),
        },
        Some(address::Address::Pipe(pipe)) => pipe.path.clone(),
        _ => String::new(),
    };
    (to, written)
}

/// The workload that metadata names first.
fn workload(metadata: &Metadata) -> Option<String> {
    let told = metadata
        .filter_metadata
        .get("istio")?
        .fields
        .get("workload")?;
    let Some(Kind::StringValue(text)) = &told.kind else {
        return None;
    };
    text.split(';').next().map(str::to_owned)
}

fn one(
    way: &Towards<'_>,
    metadata: Option<&Metadata>,
    to: Option<std::net::SocketAddr>,
    name: String,
    written: &str,
) -> Answer {
    let (mut onward, how) = way.speak(metadata);
    let steps = vec![step(
        Stage::Endpoint,
        &name,
        format!("at {written} {how}"),
        &[],
    )];
    let reached = way.reached(&onward, Some(name.clone()));
    let delivered = Outcome::Reaches(reached);
    let Some(to) = to else {
        return Answer::of(delivered).after(steps);
    };
    onward.to = to;
    let simulation = way.hop.simulation;
    let shown = onward.layers.last().map(|hello| &hello.shown);
    if matches!(shown, Some(Shown::Identity(_)))
        && let Some(other) = simulation.workload_at(to.ip())
        && other.proxy.is_some()
    {
        let identity = simulation.identity(other);
        let wanted = way.wanted(metadata);
        if !wanted.is_empty() && !wanted.iter().any(|own| matching::string(own, &identity)) {
            let why = format!(
                "{name} shows {identity}, which is not among the names that the caller accepts"
            );
            return refused(way.failure, why).after(steps);
        }
    }
    let trail = Trail {
        through: way.hop.trail.through.clone(),
        failure: way.failure,
    };
    arrive(simulation, onward, delivered, trail).after(steps)
}

/// The endpoints that get anything, with how much.
fn shares<'a>(
    way: &Towards<'_>,
    assignment: &'a ClusterLoadAssignment,
) -> Vec<(f64, &'a LbEndpoint)> {
    let common = way.cluster.common_lb_config.as_ref();
    let by_locality = matches!(
        common.and_then(|own| own.locality_config_specifier.as_ref()),
        Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_))
    );
    let panic = common
        .and_then(|own| own.healthy_panic_threshold.as_ref())
        .map_or(50.0, |own| own.value);
    let mut priorities: BTreeMap<u32, Priority<'a>> = BTreeMap::new();
    for group in &assignment.endpoints {
        let priority = priorities.entry(group.priority).or_default();
        let healthy: Vec<&LbEndpoint> = group
            .lb_endpoints
            .iter()
            .filter(|own| is_healthy(own))
            .collect();
        priority.all += group.lb_endpoints.len();
        priority.healthy += healthy.len();
        priority.any.extend(&group.lb_endpoints);
        let weight = group.load_balancing_weight.as_ref();
        let weight = weight.map_or(0.0, |own| f64::from(own.value));
        priority.groups.push((weight, healthy));
    }
    let mut left = 1.0;
    let mut found = Vec::new();
    for priority in priorities.values() {
        let share = f64::min(left, priority.health());
        left -= share;
        for (part, endpoint) in priority.spread(by_locality) {
            found.push((share * part, endpoint));
        }
    }
    let sum: f64 = found.iter().map(|(share, _)| share).sum();
    if sum > 0.0 {
        // What all priorities together lack is spread over what there is.
        found.iter_mut().for_each(|(share, _)| *share /= sum);
        found.retain(|(share, _)| *share > 0.0);
        return found;
    }
    // Rather the unhealthy than none, unless that is switched off.
    let all = priorities.values().flat_map(|own| &own.any).copied();
    let all: Vec<&LbEndpoint> = all.filter(|_| panic > 0.0).collect();
    #[allow(
        clippy::cast_precision_loss,
        reason = "there are not that many endpoints"
    )]
    let part = 1.0 / all.len() as f64;
    all.into_iter().map(|endpoint| (part, endpoint)).collect()
}

fn is_healthy(endpoint: &LbEndpoint) -> bool {
    matches!(
        HealthStatus::try_from(endpoint.health_status),
        Ok(HealthStatus::Unknown | HealthStatus::Healthy)
    )
}

/// The endpoints of one priority.
#[derive(Default)]
struct Priority<'a> {
    all: usize,
    healthy: usize,
    any: Vec<&'a LbEndpoint>,
    /// By locality, with its weight; the healthy ones only.
    groups: Vec<(f64, Vec<&'a LbEndpoint>)>,
}

impl<'a> Priority<'a> {
    /// How much of all it may take, from 0 to 1.
    #[allow(
        clippy::cast_precision_loss,
        reason = "there are not that many endpoints"
    )]
    fn health(&self) -> f64 {
        match self.all {
            0 => 0.0,
            all => (self.healthy as f64 / all as f64 * OVERPROVISIONED).min(1.0),
        }
    }

    /// Its endpoints with their parts of what it takes.
    fn spread(&self, by_locality: bool) -> Vec<(f64, &'a LbEndpoint)> {
        let weight = |endpoint: &LbEndpoint| {
            let own = endpoint.load_balancing_weight.as_ref();
            own.map_or(1.0, |own| f64::from(own.value))
        };
        let groups = self
            .groups
            .iter()
            .filter(|(_, healthy)| !healthy.is_empty());
        let sum_of_groups: f64 = groups.clone().map(|(weight, _)| weight).sum();
        let sum_of_all: f64 = groups
            .clone()
            .flat_map(|(_, healthy)| healthy)
            .map(|own| weight(own))
            .sum();
        let parts = groups.flat_map(|(of_group, healthy)| {
            let sum: f64 = healthy.iter().map(|own| weight(own)).sum();
            healthy.iter().map(move |own| {
                let part = if by_locality && sum_of_groups > 0.0 {
                    of_group / sum_of_groups * weight(own) / sum
                } else {
                    weight(own) / sum_of_all
                };
                (part, *own)
            })
        });
        parts.collect()
    }
}
