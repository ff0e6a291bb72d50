//! The hosts of an egress listener: `namespace/host` entries, and which services and
//! VirtualServices they take in. `~namespace/host` takes out again.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{covers, is_wildcard, subset_of};
use crate::{Routing, Service};

/// Stands for every namespace.
const ANY: &str = "*";

/// The entries of one egress listener, by namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    by_namespace: BTreeMap<String, Entries>,
    /// Whether all of all namespaces are taken in, as without any Sidecar.
    everything: bool,
}

#[derive(Clone, Debug, Default)]
struct Entries {
    exact: BTreeSet<String>,
    /// Exact ones too: a wildcard of a VirtualService may stand for one.
    all: Vec<String>,
    excluded: Vec<String>,
}

impl Hosts {
    /// Reads the entries of a listener of a workload in `namespace`; those of another form than
    /// `namespace/host` count for nothing.
    pub(super) fn read(entries: &[String], namespace: &str) -> Self {
        let mut hosts = Hosts::default();
        for entry in entries {
            let Some((within, host)) = entry.split_once('/') else {
                continue;
            };
            if host.contains('/') {
                continue;
            }
            let excluded = within.starts_with('~');
            let within = match within.strip_prefix('~').unwrap_or(within) {
                "" if excluded => ANY,
                "." => namespace,
                name => name,
            };
            let known = hosts.by_namespace.entry(within.to_owned()).or_default();
            if excluded {
                known.excluded.push(host.to_owned());
                continue;
            }
            if !is_wildcard(host) {
                known.exact.insert(host.to_owned());
            }
            known.all.push(host.to_owned());
        }
        let any = hosts.by_namespace.get(ANY);
        hosts.everything = any.is_some_and(|entries| entries.all.iter().any(|own| own == ANY))
            && hosts
                .by_namespace
                .values()
                .all(|entries| entries.excluded.is_empty());
        hosts
    }

    /// The entries that speak of a namespace, its own first.
    fn of(&self, namespace: &str) -> impl Iterator<Item = &Entries> {
        let own = self.by_namespace.get(namespace);
        own.into_iter().chain(self.by_namespace.get(ANY))
    }

    fn excludes(&self, namespace: &str, host: &str) -> bool {
        let mut excluded = self.of(namespace).flat_map(|entries| &entries.excluded);
        excluded.any(|out| subset_of(host, out))
    }

    /// Whether a service is taken in by name.
    pub(super) fn takes(&self, service: &Service) -> bool {
        let (namespace, host) = (service.id.namespace.as_str(), service.id.host.as_str());
        self.everything
            || !self.excludes(namespace, host)
                && self.of(namespace).any(|entries| entries.hold(host))
    }

    /// Whether a host is among those of any entry, as an alias of a service must be.
    pub(super) fn holds(&self, namespace: &str, host: &str) -> bool {
        self.of(namespace).any(|entries| entries.hold(host))
    }

    /// Whether a VirtualService is taken in: one of its hosts is, or might be.
    pub(super) fn takes_routing(&self, routing: &Routing) -> bool {
        let namespace = routing.namespace.as_str();
        let mut hosts = routing.spec.hosts.iter();
        hosts.any(|host| {
            self.of(namespace).any(|entries| entries.might_hold(host))
                && !self.excludes(namespace, host)
        })
    }
}

impl Entries {
    fn hold(&self, host: &str) -> bool {
        self.exact.contains(host)
            || self
                .all
                .iter()
                .any(|own| (is_wildcard(host) || is_wildcard(own)) && subset_of(host, own))
    }

    fn might_hold(&self, host: &str) -> bool {
        self.exact.contains(host)
            || self
                .all
                .iter()
                .any(|own| (is_wildcard(host) || is_wildcard(own)) && covers(host, own))
    }
}
