//! The names that the agent's DNS proxy answers: services with addresses of their own, and the
//! pods of headless ones.

use api::snapshot::{Address, Health};
use mesh::{Registry, Scope, Service};
use proto::contrib::{NameInfo, NameTable};

pub(crate) fn of(scope: &Scope) -> NameTable {
    let mut names = NameTable::default();
    for called in &scope.outbound.services {
        let service = &called.service;
        let host = service.id.host.as_str();
        let own: Vec<String> = service
            .virtual_addresses()
            .iter()
            .filter(|address| usable(scope, address))
            .cloned()
            .collect();
        if !own.is_empty() {
            names
                .table
                .insert(host.to_owned(), entry(service, &service.name, own));
            continue;
        }
        if service.registry != Registry::Kubernetes {
            continue;
        }
        let mut all = Vec::new();
        for endpoint in service
            .spelled_out
            .iter()
            .flat_map(|known| &known.endpoints)
        {
            let Address::Ip(ip) = &endpoint.address else {
                continue;
            };
            let address = ip.to_string();
            if endpoint.health != Health::Healthy || all.contains(&address) {
                continue;
            }
            all.push(address.clone());
            if let Some(pod) = &endpoint.hostname {
                let short = format!("{pod}.{}", service.name);
                let info = entry(service, &short, vec![address]);
                names.table.insert(format!("{pod}.{host}"), info);
            }
        }
        if !all.is_empty() {
            names
                .table
                .insert(host.to_owned(), entry(service, &service.name, all));
        }
    }
    names
}

fn usable(scope: &Scope, address: &str) -> bool {
    let v6 = address.contains(':');
    !address.contains('/')
        && if v6 {
            scope.families.v6
        } else {
            scope.families.v4
        }
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
