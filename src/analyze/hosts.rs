//! Hosts that can be called, and from where.

use serde_json::{Value, json};

use crate::world::{World, full_host, items, scopes};

/// Services of Kubernetes and of ServiceEntries, by scope and host.
pub struct Hosts {
    known: Vec<Known>,
}

struct Known {
    /// A namespace, or `*`.
    scope: String,
    host: String,
    /// As a ServiceEntry's spec.
    spec: Value,
}

impl Hosts {
    pub fn of(world: &World) -> Self {
        let mut known = Vec::new();
        for entry in world.networking("ServiceEntry") {
            for host in crate::world::texts(&entry.spec()["hosts"]) {
                for scope in scopes(&entry.spec()["exportTo"], entry.namespace) {
                    let host = full_host(entry.namespace, host);
                    known.push(Known {
                        scope,
                        host,
                        spec: entry.spec().clone(),
                    });
                }
            }
        }
        for service in world.core("Service") {
            let ports: Vec<Value> = items(&service.spec()["ports"])
                .map(|port| json!({"number": port["port"], "protocol": port["protocol"]}))
                .collect();
            let host = full_host(service.namespace, service.name);
            let export_to = service
                .annotation("networking.istio.io/exportTo")
                .unwrap_or_default();
            let export_to: Vec<&str> = export_to
                .split(',')
                .map(str::trim)
                .filter(|to| !to.is_empty())
                .collect();
            for scope in scopes(&json!(export_to), service.namespace) {
                let spec = json!({"hosts": [host], "ports": ports});
                known.push(Known {
                    scope,
                    host: host.clone(),
                    spec,
                });
            }
        }
        Hosts { known }
    }

    /// The service that a host means for an object of a namespace that is exported to others.
    pub fn find(&self, namespace: &str, export_to: &Value, host: &str) -> Option<&Value> {
        let full = full_host(namespace, host);
        let mut from = scopes(export_to, namespace);
        if from == ["*"] {
            from.push(namespace.to_owned());
        }
        from.push("*".to_owned());
        let exact = |known: &&Known| known.host == full && from.contains(&known.scope);
        let wildcard = |known: &&Known| {
            let visible = known.scope == "*" || known.scope == namespace;
            let suffix = known.host.strip_prefix('*');
            visible && suffix.is_some_and(|suffix| host.trim_start_matches('*').ends_with(suffix))
        };
        let mut known = self.known.iter();
        let found = known
            .find(exact)
            .or_else(|| self.known.iter().find(wildcard));
        found.map(|known| &known.spec)
    }
}
