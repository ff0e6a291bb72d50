//! Where the services of extension providers are: which host of the mesh one means by the text that
//! its provider has for it. What is said to them is not decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::mesh_config::MeshConfig;

use crate::Service;

/// A port of a host of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Who declares the hosts that providers name, by namespace, with the ports that can be called there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    hosts: BTreeMap<String, BTreeMap<String, BTreeSet<u16>>>,
}

impl Directory {
    /// The directory of all hosts that a provider of the mesh names.
    pub(crate) fn of(config: &MeshConfig, services: &[Arc<Service>]) -> Self {
        let providers = config.extension_providers.iter();
        let named = providers.flat_map(|own| [own.service(), own.sampling_service()]);
        let named = named.flatten().filter_map(|(service, _)| parts(service));
        let mut hosts: BTreeMap<String, BTreeMap<String, BTreeSet<u16>>> = named
            .map(|(_, host)| (host.to_owned(), BTreeMap::new()))
            .collect();
        if !hosts.is_empty() {
            for service in services {
                let Some(namespaces) = hosts.get_mut(&service.id.host) else {
                    continue;
                };
                let ports = namespaces.entry(service.id.namespace.clone()).or_default();
                // What only stands for another host is no place to call.
                if !service.is_alias() {
                    ports.extend(service.called().map(|port| port.number));
                }
            }
        }
        Directory { hosts }
    }

    /// What `service` means: `namespace/host`, or a host that one namespace declares. The port has to be one of
    /// the host's. Upstream takes whatever is written, and Envoy refuses every listener that sends spans to a
    /// cluster that does not exist.
    ///
    /// # Errors
    /// Why it means nothing, as the rest of a sentence about it.
    pub(crate) fn find(&self, service: &str, port: u32) -> Result<Destination, String> {
        let wanted = "expected a host of the mesh or namespace/host";
        if service.is_empty() {
            return Err(format!("is empty, {wanted}"));
        }
        let Some((namespace, host)) = parts(service) else {
            return Err(format!("is {service:?}, {wanted}"));
        };
        let none = BTreeMap::new();
        let namespaces = self.hosts.get(host).unwrap_or(&none);
        let ports = match namespace {
            Some(namespace) => namespaces.get(namespace),
            None if namespaces.len() > 1 => {
                let all: Vec<&str> = namespaces.keys().map(String::as_str).collect();
                return Err(format!(
                    "is {service:?}, which namespaces {} declare, expected namespace/host",
                    all.join(", ")
                ));
            }
            None => namespaces.values().next(),
        };
        let Some(ports) = ports else {
            return Err(format!("is {service:?}, which nothing declares, {wanted}"));
        };
        let known = u16::try_from(port).ok().filter(|port| ports.contains(port));
        let Some(port) = known else {
            let all: Vec<String> = ports.iter().map(u16::to_string).collect();
            let expected = match all.is_empty() {
                true => "no port that can be called".to_owned(),
                false => format!("port {}", all.join(", ")),
            };
            return Err(format!(
                "is {service:?}, of which port {port} is asked for, but it has {expected}"
            ));
        };
        Ok(Destination {
            host: host.to_owned(),
            port,
        })
    }
}

/// Namespace, where one is named, and host.
fn parts(service: &str) -> Option<(Option<&str>, &str)> {
    match service.split('/').collect::<Vec<_>>()[..] {
        [host] => Some((None, host)),
        [namespace, host] => Some((Some(namespace), host)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
