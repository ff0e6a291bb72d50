//! The address that a caller gets for a name: as Kubernetes' DNS and the sidecar's would answer.

use std::net::IpAddr;

use api::snapshot::Address;
use mesh::{Registry, Service, covers, is_wildcard};

use super::answer::{Stage, Step, step};
use super::call::Call;
use super::{Simulation, Workload};

/// What stands for an address outside of the mesh that only the world's DNS knows (RFC 5737).
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// What a name stands for.
pub(super) enum Named {
    /// An address, and in words how it was found.
    At(IpAddr, Option<Step>),
    /// Nothing, and why.
    Nowhere(String),
}

pub(super) fn resolve(simulation: &Simulation<'_>, from: &Workload, call: &Call) -> Named {
    let written = call.host.trim_end_matches('.');
    let literal = written.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = literal.parse() {
        return Named::At(address, None);
    }
    if written == "localhost" {
        return Named::At(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), None);
    }
    let domain = &simulation.domain;
    let cluster = format!(".svc.{domain}");
    let forms = [
        format!("{written}.{}{cluster}", from.namespace),
        format!("{written}{cluster}"),
        format!("{written}.{domain}"),
        written.to_owned(),
    ];
    for (place, host) in forms.iter().enumerate() {
        let host = host.to_ascii_lowercase();
        let exact = place == forms.len() - 1;
        if let Some(service) = known(simulation, &host, exact) {
            return of_service(simulation, from, service, &host);
        }
        if let Some((address, service)) = pod(simulation, &host) {
            let said = format!("a pod of {}, at {address}", service.id.host);
            let origin = std::slice::from_ref(&*service.origin);
            return Named::At(address, Some(step(Stage::Name, &call.host, said, origin)));
        }
    }
    if written.ends_with(&cluster) || !written.contains('.') {
        return Named::Nowhere(format!(
            "no Service has the name {written} for callers in namespace {}",
            from.namespace
        ));
    }
    let said = format!("outside of the mesh; {ELSEWHERE} stands for its address");
    Named::At(ELSEWHERE, Some(step(Stage::Name, &call.host, said, &[])))
}

/// The service of a host: a Kubernetes Service, or a ServiceEntry for names as they are written.
fn known<'a>(simulation: &'a Simulation<'_>, host: &str, exact: bool) -> Option<&'a Service> {
    let services = simulation.mesh.services().iter().map(AsRef::as_ref);
    let own = |service: &&Service| service.id.host.eq_ignore_ascii_case(host);
    let of_cluster = |service: &&Service| service.registry == Registry::Kubernetes;
    let mut of_kubernetes = services.clone().filter(of_cluster);
    of_kubernetes.find(own).or_else(|| {
        let mut entries = services.filter(|service| exact && !of_cluster(service));
        entries.clone().find(own).or_else(|| {
            entries.find(|service| is_wildcard(&service.id.host) && covers(&service.id.host, host))
        })
    })
}

fn of_service(
    simulation: &Simulation<'_>,
    from: &Workload,
    service: &Service,
    host: &str,
) -> Named {
    if let Some(target) = &service.alias_of
        && let Some(target) = known(simulation, target, true).filter(|own| own.alias_of.is_none())
    {
        return of_service(simulation, from, target, host);
    }
    let parsed = |text: &String| text.parse::<IpAddr>().ok();
    let answers = from.proxy.as_ref();
    let answers = answers.is_some_and(|proxy| proxy.settings.answers_dns);
    let allocated = service.allocated.iter().filter(|_| answers);
    let mut addresses = service.addresses.iter().chain(allocated).filter_map(parsed);
    let (address, said) = if let Some(address) = addresses.next() {
        (address, format!("is at {address}"))
    } else if service.registry == Registry::Kubernetes && service.alias_of.is_none() {
        match endpoint(simulation, service) {
            Some(address) => (address, format!("is headless, with a pod at {address}")),
            None => return Named::Nowhere(format!("{host} is headless and has no pod")),
        }
    } else {
        (
            ELSEWHERE,
            format!("{ELSEWHERE} stands for the address that DNS gives it"),
        )
    };
    let origin = std::slice::from_ref(&*service.origin);
    Named::At(address, Some(step(Stage::Name, host, said, origin)))
}

/// The first endpoint of a headless Service.
fn endpoint(simulation: &Simulation<'_>, service: &Service) -> Option<IpAddr> {
    let known = simulation.endpoints.get(&service.id)?;
    known.endpoints.iter().find_map(|own| match own.address {
        Address::Ip(ip) => Some(ip),
        _ => None,
    })
}

/// A pod by its name below that of its headless Service.
fn pod<'a>(simulation: &'a Simulation<'_>, host: &str) -> Option<(IpAddr, &'a Service)> {
    let (name, service) = host.split_once('.')?;
    let service = known(simulation, service, false)?;
    let known = simulation.endpoints.get(&service.id)?;
    let own = known.endpoints.iter().find(|own| {
        let own = own.hostname.as_ref();
        own.is_some_and(|(own, subdomain)| own == name && *subdomain == service.name)
    })?;
    match own.address {
        Address::Ip(ip) => Some((ip, service)),
        _ => None,
    }
}
