//! The services of all egress listeners of a workload, one per host: what clusters, endpoints and
//! names are made of. Ports that listeners take in singly add up.

use std::sync::Arc;

use crate::scope::{Host, Places};
use crate::{Registry, Service};

/// Services in the order in which they were added, one per host.
pub(super) struct Union {
    pub(super) services: Vec<Arc<Service>>,
    pub(super) by_host: Places,
}

impl Union {
    /// One with room for so many services.
    pub(super) fn with_room(count: usize) -> Self {
        Union {
            services: Vec::with_capacity(count),
            by_host: Places::with_capacity_and_hasher(count, Default::default()),
        }
    }

    /// The service of a host.
    pub(super) fn of(&self, host: &str) -> Option<&Arc<Service>> {
        self.by_host.get(host).map(|place| &self.services[*place])
    }

    /// Adds a service. The first of a host keeps it, but no ServiceEntry keeps it from a Kubernetes
    /// Service; what is declared alike in one namespace is one service with all ports.
    pub(super) fn add(&mut self, service: &Arc<Service>) {
        let host = &service.id.host;
        let Some(place) = self.by_host.get(host.as_str()) else {
            let place = self.services.len();
            self.by_host.insert(Host(service.clone()), place);
            self.services.push(service.clone());
            return;
        };
        let first = &mut self.services[*place];
        if Arc::ptr_eq(first, service) {
            return;
        }
        match (first.registry, service.registry) {
            (Registry::Kubernetes, Registry::External) => return,
            (Registry::External, Registry::Kubernetes) => {
                *first = service.clone();
                return;
            }
            _ => {}
        }
        if first.ports == service.ports || !alike(first, service) {
            return;
        }
        let mut merged = first.as_ref().clone();
        for port in &service.ports {
            if !merged.ports.iter().any(|known| known.number == port.number) {
                merged.ports.push(port.clone());
            }
        }
        *first = Arc::new(merged);
    }
}

fn alike(a: &Service, b: &Service) -> bool {
    a.id.namespace == b.id.namespace
        && a.resolution == b.resolution
        && a.labels == b.labels
        && a.selector == b.selector
        && a.visibility == b.visibility
}
