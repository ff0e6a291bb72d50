//! What a mesh does with a call: the caller's proxy, gateways on the way and the proxy in front of the
//! workload, walked through as their Envoys would with the resources that they are sent. Meaning for
//! tests and for people; nothing here is on the way to a proxy. What only a running Envoy knows (health
//! that it found out itself, open circuits, tokens, answers of other services) is taken for well.

mod action;
mod answer;
mod arrival;
mod call;
mod chain;
mod cluster;
mod direct;
mod endpoint;
mod http;
mod listener;
mod matching;
mod name;
mod policy;
mod route;
mod view;
mod written;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::snapshot::{HostEndpoints, HostId, selects};
use mesh::{Mesh, Proxy, Registry, Role, Target};

pub use answer::{Answer, Branch, Outcome, Over, Reached, Stage, Step};
use call::Connection;
pub use call::{Call, Content, Hello, Request, Shown};
use chain::Hop;
use name::Named;

/// A mesh with the workloads that call each other in it.
pub struct Simulation<'a> {
    /// The relations.
    pub mesh: &'a Mesh,
    /// Endpoints by host.
    pub endpoints: &'a imbl::OrdMap<HostId, Arc<HostEndpoints>>,
    /// All workloads that are known.
    pub workloads: Vec<Workload>,
    /// Domain of the cluster, usually `cluster.local`.
    pub domain: String,
    /// Domain of the mesh's identities.
    pub trust_domain: String,
}

/// A workload: one pod or machine.
#[derive(Clone, Debug)]
pub struct Workload {
    /// `pod.namespace`.
    pub id: String,
    /// The Deployment or the like that it is of.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its service account.
    pub service_account: String,
    /// The proxy beside it; `None` when it is not in the mesh.
    pub proxy: Option<Proxy>,
}

impl Workload {
    /// Whether it lets calls in for others.
    pub fn is_gateway(&self) -> bool {
        let role = self.proxy.as_ref().map(|proxy| proxy.role);
        role == Some(Role::Router)
    }

    fn described(&self) -> String {
        let kind = match &self.proxy {
            None => "no proxy",
            Some(_) if self.is_gateway() => "gateway",
            Some(_) => "sidecar",
        };
        format!("{kind} of {}", self.name)
    }
}

impl Simulation<'_> {
    /// What becomes of a call by a workload.
    pub fn call(&self, from: &Workload, call: &Call) -> Answer {
        let mut steps = Vec::new();
        let to = match name::resolve(self, from, call) {
            Named::At(address, how) => {
                steps.extend(how);
                SocketAddr::new(address, call.port)
            }
            Named::Nowhere(why) => return answer::refused(None, why),
        };
        let connection = self.connection(from.addresses.first().copied(), to, call);
        let answer = match &from.proxy {
            Some(proxy) if proxy.role == Role::Sidecar => {
                Hop::outbound(self, from, proxy).captured(connection)
            }
            _ => {
                steps.push(answer::step(
                    answer::Stage::Caller,
                    &from.id,
                    "has no sidecar",
                    &[],
                ));
                direct::call(self, &from.namespace, connection, None)
            }
        };
        answer.after(steps)
    }

    /// What becomes of a call of strangers to a gateway. `call.port` is that of its Service, and
    /// `call.host` only the name that they have for it.
    pub fn enter(&self, gateway: &Workload, call: &Call) -> Answer {
        let Some(address) = gateway.addresses.first() else {
            return answer::refused(None, format!("{} has no address yet", gateway.id));
        };
        let (port, steps) = match self.led(gateway, call.port) {
            Ok(led) => led,
            Err(why) => return answer::refused(None, why),
        };
        let connection = self.connection(None, SocketAddr::new(*address, port), call);
        let delivered = Outcome::Reaches(Reached {
            name: gateway.name.clone(),
            host: gateway.id.clone(),
            port,
            subset: String::new(),
            over: over(&connection),
            workloads: vec![gateway.name.clone()],
            through: Vec::new(),
        });
        arrival::arrive(self, connection, delivered, chain::Trail::default()).after(steps)
    }

    /// The port of a gateway that its Services lead a port to; itself when it has no Service.
    fn led(&self, gateway: &Workload, number: u16) -> Result<(u16, Vec<Step>), String> {
        let Some(proxy) = &gateway.proxy else {
            return Ok((number, Vec::new()));
        };
        let mut known = Vec::new();
        for service in self.mesh.services() {
            let own = service.id.namespace == gateway.namespace
                && service.registry == Registry::Kubernetes
                && service
                    .selector
                    .as_ref()
                    .is_some_and(|selector| selects(selector, &proxy.labels));
            if !own {
                continue;
            }
            if let Some(port) = service.port(number) {
                let target = match &port.target {
                    Target::Number(target) => *target,
                    Target::Name(name) => {
                        let own = proxy.ports.iter().find(|(own, _)| own == name);
                        own.map_or(number, |(_, target)| *target)
                    }
                };
                let said = format!("leads port {number} to {target}");
                let origin = std::slice::from_ref(&*service.origin);
                let step = answer::step(Stage::Name, &service.name, said, origin);
                return Ok((target, vec![step]));
            }
            known.extend(service.ports.iter().map(|port| port.number.to_string()));
        }
        match known.is_empty() {
            true => Ok((number, Vec::new())),
            false => Err(format!(
                "the Services of {} have no port {number}, but {}",
                gateway.name,
                known.join(", ")
            )),
        }
    }

    fn connection(&self, from: Option<IpAddr>, to: SocketAddr, call: &Call) -> Connection {
        Connection {
            from,
            to,
            layers: call.tls.clone().into_iter().collect(),
            content: call.content.clone(),
            server_name: String::new(),
            peer: None,
        }
    }

    fn workload_at(&self, address: IpAddr) -> Option<&Workload> {
        let mut all = self.workloads.iter();
        all.find(|workload| workload.addresses.contains(&address))
    }

    fn identity(&self, workload: &Workload) -> String {
        let id = base::identity::SpiffeId {
            trust_domain: self.trust_domain.clone(),
            namespace: workload.namespace.clone(),
            service_account: workload.service_account.clone(),
        };
        id.to_string()
    }

    /// A host as people in a namespace call it.
    fn short(&self, host: &str, namespace: &str) -> String {
        let suffix = format!(".svc.{}", self.domain);
        match host
            .strip_suffix(&suffix)
            .and_then(|rest| rest.split_once('.'))
        {
            Some((name, own)) if own == namespace => name.to_owned(),
            Some((name, own)) => format!("{name}.{own}"),
            None => host.to_owned(),
        }
    }
}

/// How a connection is protected as it stands.
fn over(connection: &Connection) -> Over {
    match connection.layers.last() {
        None => Over::Plaintext,
        Some(hello) if matches!(hello.shown, Shown::Identity(_)) => Over::Mutual,
        Some(_) => Over::Tls,
    }
}

#[cfg(test)]
mod tests;
