//! EndpointSlices, found by the Service that they are of and by the pods in them, named or by address, so that
//! an event costs the slices that it concerns and not those of its namespace.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::{EndpointSlice, Key, Table};

/// All EndpointSlices. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    table: Table<EndpointSlice>,
    of_service: OrdMap<Key, OrdSet<Key>>,
    with_pod: OrdMap<Key, OrdSet<Key>>,
    /// By namespace and address, those of endpoints that name no pod.
    at_address: OrdMap<Key, OrdSet<Key>>,
}

impl Slices {
    /// One slice.
    pub fn get(&self, key: &Key) -> Option<&Arc<EndpointSlice>> {
        self.table.get(key)
    }

    /// The slices of a Service, by name.
    pub fn of_service(&self, service: &Key) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        self.found(self.of_service.get(service))
    }

    /// The slices that name a pod.
    pub fn with_pod(&self, pod: &Key) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        self.found(self.with_pod.get(pod))
    }

    /// The slices of a namespace that have an address without a pod's name.
    pub fn at_address(
        &self,
        namespace: &str,
        address: &str,
    ) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        self.found(self.at_address.get(&Key::new(namespace, address)))
    }

    fn found<'a>(
        &'a self,
        keys: Option<&'a OrdSet<Key>>,
    ) -> impl Iterator<Item = &'a Arc<EndpointSlice>> {
        let keys = keys.into_iter().flatten();
        keys.filter_map(|key| self.table.get(key))
    }

    /// Puts a slice; says whether that changed anything.
    pub fn insert(&mut self, key: Key, slice: EndpointSlice) -> bool {
        let before = self.table.get(&key).cloned();
        if !self.table.insert(key.clone(), slice) {
            return false;
        }
        if let Some(before) = before {
            self.forget(&key, &before);
        }
        if let Some(slice) = self.table.get(&key).cloned() {
            let of = &mut self.of_service;
            of.entry(service(&slice)).or_default().insert(key.clone());
            for pod in pods(&slice) {
                self.with_pod.entry(pod).or_default().insert(key.clone());
            }
            for address in addresses(&slice) {
                let at = self.at_address.entry(address).or_default();
                at.insert(key.clone());
            }
        }
        true
    }

    /// Takes a slice out; says whether it was there.
    pub fn remove(&mut self, key: &Key) -> bool {
        if let Some(before) = self.table.get(key).cloned() {
            self.forget(key, &before);
        }
        self.table.remove(key)
    }

    fn forget(&mut self, key: &Key, slice: &EndpointSlice) {
        take(&mut self.of_service, &service(slice), key);
        for pod in pods(slice) {
            take(&mut self.with_pod, &pod, key);
        }
        for address in addresses(slice) {
            take(&mut self.at_address, &address, key);
        }
    }
}

fn take(from: &mut OrdMap<Key, OrdSet<Key>>, of: &Key, key: &Key) {
    if let Some(keys) = from.get_mut(of) {
        keys.remove(key);
        if keys.is_empty() {
            from.remove(of);
        }
    }
}

fn service(slice: &EndpointSlice) -> Key {
    Key::new(&slice.namespace, &slice.service)
}

fn pods(slice: &EndpointSlice) -> impl Iterator<Item = Key> {
    let pods = slice.endpoints.iter();
    pods.filter_map(|endpoint| endpoint.pod.as_ref())
        .map(|(namespace, name)| Key::new(namespace, name))
}

/// Addresses of endpoints that name no pod, by namespace.
fn addresses(slice: &EndpointSlice) -> impl Iterator<Item = Key> {
    let nameless = slice.endpoints.iter().filter(|own| own.pod.is_none());
    let addresses = nameless.flat_map(|endpoint| &endpoint.addresses);
    addresses.map(|address| Key::new(&slice.namespace, address.to_string()))
}
