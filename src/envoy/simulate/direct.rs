//! Connections that no proxy of the caller leads: to the address that they are bound for, which may be
//! that of a Service, whose endpoints the node chooses from.

use std::net::SocketAddr;

use api::snapshot::{Address, Endpoint, Health};
use mesh::{Registry, Service};

use super::answer::{Answer, Outcome, Reached, Stage, refused, step};
use super::arrival::arrive;
use super::call::Connection;
use super::chain::Trail;
use super::{Simulation, over};

/// Where a proxy let it pass, unread.
pub(super) struct Passed {
    /// What becomes of it when it arrives.
    pub(super) end: Outcome,
    /// What that proxy answers when it does not.
    pub(super) failure: Option<u32>,
}

/// What becomes of it; where no proxy let it pass, it is said which service is reached.
pub(super) fn call(
    simulation: &Simulation<'_>,
    namespace: &str,
    connection: Connection,
    passed: Option<Passed>,
) -> Answer {
    let failure = passed.as_ref().and_then(|passed| passed.failure);
    let passing = passed.map(|passed| passed.end);
    let trail = Trail {
        failure,
        ..Trail::default()
    };
    let to = connection.to;
    let address = to.ip().to_string();
    let mut services = simulation.mesh.services().iter();
    let service = services
        .find(|own| own.registry == Registry::Kubernetes && own.addresses.contains(&address));
    let Some(service) = service else {
        let name = simulation
            .workload_at(to.ip())
            .map_or_else(|| to.to_string(), |workload| workload.name.clone());
        let delivered = passing.unwrap_or_else(|| {
            Outcome::Reaches(Reached {
                host: name.clone(),
                port: to.port(),
                subset: String::new(),
                over: over(&connection),
                workloads: vec![name.clone()],
                through: Vec::new(),
                name,
            })
        });
        return arrive(simulation, connection, delivered, trail);
    };
    let name = simulation.short(&service.id.host, namespace);
    if service.port(to.port()).is_none() {
        let ports = service.ports.iter().map(|port| port.number.to_string());
        let ports: Vec<String> = ports.collect();
        let why = format!("{name} has no port {}, but {}", to.port(), ports.join(", "));
        return refused(failure, why);
    }
    let endpoints = ready(simulation, service, to.port());
    let found = step(
        Stage::Endpoint,
        &name,
        format!(
            "{to} is its address, the node chooses one of {}",
            endpoints.len()
        ),
        std::slice::from_ref(&*service.origin),
    );
    if endpoints.is_empty() {
        let why = format!("{name} has no endpoint that is ready");
        return refused(failure, why).after(vec![found]);
    }
    let count = endpoints.len();
    #[allow(
        clippy::cast_precision_loss,
        reason = "there are not that many endpoints"
    )]
    let share = 1.0 / count as f64;
    let mut kinds: Vec<(f64, SocketAddr, &Endpoint)> = Vec::new();
    for (to, endpoint) in endpoints {
        // Replicas of a workload fare alike.
        let known = kinds.iter_mut().find(|(_, _, known)| {
            !known.workload.is_empty()
                && (&known.workload, &known.namespace) == (&endpoint.workload, &endpoint.namespace)
        });
        match known {
            Some((sum, ..)) => *sum += share,
            None => kinds.push((share, to, endpoint)),
        }
    }
    let parts = kinds.into_iter().map(|(share, to, endpoint)| {
        let delivered = passing.clone().unwrap_or_else(|| {
            Outcome::Reaches(Reached {
                name: name.clone(),
                host: service.id.host.clone(),
                port: connection.to.port(),
                subset: String::new(),
                over: over(&connection),
                workloads: vec![endpoint.workload.clone()],
                through: Vec::new(),
            })
        });
        let onward = Connection {
            to,
            ..connection.clone()
        };
        (share, arrive(simulation, onward, delivered, trail.clone()))
    });
    Answer::merged(parts.collect()).after(vec![found])
}

/// Where a port of a Service is served.
fn ready<'a>(
    simulation: &'a Simulation<'_>,
    service: &Service,
    number: u16,
) -> Vec<(SocketAddr, &'a Endpoint)> {
    let Some(port) = service.port(number) else {
        return Vec::new();
    };
    let known = simulation.endpoints.get(&service.id);
    let known = known.into_iter().flat_map(|known| &known.endpoints);
    let found = known.filter_map(|endpoint| {
        let Address::Ip(ip) = endpoint.address else {
            return None;
        };
        let ready = !matches!(endpoint.health, Health::Unhealthy | Health::Draining);
        let port = endpoint.port(&port.name, port.number).filter(|_| ready)?;
        Some((SocketAddr::new(ip, port), endpoint))
    });
    found.collect()
}
