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

/// Namespaces that declare the hosts that providers name.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    hosts: BTreeMap<String, BTreeSet<String>>,
}

impl Directory {
    /// The directory of all hosts that a provider of the mesh names.
    pub(crate) fn of(config: &MeshConfig, services: &[Arc<Service>]) -> Self {
        let providers = config.extension_providers.iter();
        let named = providers.flat_map(|own| [own.service(), own.sampling_service()]);
        let named = named.flatten().filter_map(|(service, _)| parts(service));
        let mut hosts: BTreeMap<String, BTreeSet<String>> = named
            .map(|(_, host)| (host.to_owned(), BTreeSet::new()))
            .collect();
        if !hosts.is_empty() {
            for service in services {
                if let Some(namespaces) = hosts.get_mut(&service.id.host) {
                    namespaces.insert(service.id.namespace.clone());
                }
            }
        }
        Directory { hosts }
    }

    /// What `service` means: `namespace/host`, or a host that one namespace declares. Upstream takes
    /// whatever port is written, whether the host has it or not.
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
        let none = BTreeSet::new();
        let namespaces = self.hosts.get(host).unwrap_or(&none);
        let known = match namespace {
            Some(namespace) => namespaces.contains(namespace),
            None if namespaces.len() > 1 => {
                let all: Vec<&str> = namespaces.iter().map(String::as_str).collect();
                return Err(format!(
                    "is {service:?}, which namespaces {} declare, expected namespace/host",
                    all.join(", ")
                ));
            }
            None => !namespaces.is_empty(),
        };
        if !known {
            return Err(format!("is {service:?}, which nothing declares, {wanted}"));
        }
        let known = u16::try_from(port).ok().filter(|port| *port != 0);
        let port = known.ok_or_else(|| format!("has port {port}, expected 1 to 65535"));
        Ok(Destination {
            host: host.to_owned(),
            port: port?,
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
