//! The names that the agent's DNS proxy answers: services with addresses of their own, and the
//! pods of headless ones.

use std::collections::BTreeSet;

use api::snapshot::{Address, Health};
use mesh::{Registry, Resolution, Scope, Service};
use proto::contrib::{NameInfo, NameTable};

pub(crate) fn of(scope: &Scope) -> NameTable {
    let mut names = NameTable::default();
    for view in &scope.outbound.views {
        for called in &view.services {
            add(scope, &called.service, &mut names);
        }
    }
    names
}

fn add(scope: &Scope, service: &Service, names: &mut NameTable) {
    let host = service.id.host.as_str();
    let own = service.addresses_for(scope.reach());
    let ips: Vec<String> = if own.is_empty() {
        let headless = service.resolution == Resolution::Passthrough && !service.ports.is_empty();
        if !headless {
            return;
        }
        pods(scope, service, names)
    } else {
        let addresses = own.into_iter().filter(|address| !address.contains('/'));
        addresses.map(str::to_owned).collect()
    };
    if ips.is_empty() {
        return;
    }
    let new = entry(service, &service.name, ips);
    match names.table.get_mut(host) {
        None => drop(names.table.insert(host.to_owned(), new)),
        // Nothing takes a name from a Kubernetes Service; addresses of ServiceEntries add up.
        Some(known) if known.registry == new.registry && new.registry == "External" => {
            known.ips.extend(new.ips);
        }
        Some(known) if new.registry == "Kubernetes" && known.registry != new.registry => {
            *known = new;
        }
        Some(_) => {}
    }
}

/// The pods of a headless service in the proxy's network, each also under its own name if it has
/// one below a subdomain.
fn pods(scope: &Scope, service: &Service, names: &mut NameTable) -> Vec<String> {
    let host = service.id.host.as_str();
    let below = host.split_once('.').map_or("", |(_, rest)| rest);
    let mut all = Vec::new();
    let mut seen = BTreeSet::new();
    let mut own: Vec<(String, String, String)> = Vec::new();
    let known = service.spelled_out.iter().flat_map(|all| &all.endpoints);
    for endpoint in known {
        let Address::Ip(ip) = &endpoint.address else {
            continue;
        };
        let ready = endpoint.health == Health::Healthy || service.publish_not_ready;
        let near = scope.is_own_network(scope.networks.of(endpoint));
        if !ready || !near || !seen.insert(*ip) {
            continue;
        }
        let mut addresses = vec![ip.to_string()];
        addresses.extend(endpoint.more.iter().map(ToString::to_string));
        if let Some((pod, subdomain)) = &endpoint.hostname {
            let short = format!("{pod}.{subdomain}");
            for address in &addresses {
                own.push((format!("{short}.{below}"), short.clone(), address.clone()));
            }
        }
        all.extend(addresses);
    }
    for (name, short, address) in own {
        let known = names.table.entry(name);
        known
            .or_insert_with(|| entry(service, &short, Vec::new()))
            .ips
            .push(address);
    }
    all
}

fn entry(service: &Service, short: &str, ips: Vec<String>) -> NameInfo {
    match service.registry {
        Registry::Kubernetes => NameInfo {
            ips,
            registry: "Kubernetes".to_owned(),
            shortname: short.to_owned(),
            namespace: service.id.namespace.clone(),
        },
        Registry::External => NameInfo {
            ips,
            registry: "External".to_owned(),
            ..Default::default()
        },
    }
}
