//! What the mesh looks like to a proxy and to this process: `sidecarz`, `instancesz`, `cachez`, `clusterz`,
//! `networkz`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::networking::sidecar::OutboundMode;
use api::snapshot::Locality;
use mesh::{Flavour, Mesh, Proxy, Scope};
use proto::codec::type_url;
use serde_json::{Map, Value, json};

use super::connections::Connection;
use super::endpoints::NOT_CONNECTED;
use super::registry::{port_json, service_json};
use super::{Answer, Debug, Question};
use crate::proxy;

/// Types whose resources are derived here.
const DERIVED: [&str; 7] = [
    type_url::CLUSTER,
    type_url::ENDPOINT,
    type_url::LISTENER,
    type_url::ROUTE,
    type_url::VIRTUAL_HOST,
    type_url::EXTENSION,
    type_url::NAME_TABLE,
];

/// `/debug/sidecarz?proxyID=`: what the proxy can call, under upstream's keys.
pub(super) fn sidecarz(debug: &Debug, question: &Question) -> Answer {
    let Some(id) = question.parameter("proxyID").filter(|id| !id.is_empty()) else {
        return Answer::Refused(400, "You must provide a proxyID in the query string\n");
    };
    let found = debug.connections.find(id);
    let Some(connection) = found.filter(|one| question.may_see(&one.namespace)) else {
        return Answer::Refused(404, NOT_CONNECTED);
    };
    let Some(scope) = scope(debug, &connection) else {
        return Answer::Refused(503, "there is no configuration yet\n");
    };
    let outbound = &scope.outbound;
    let services = outbound.services.iter().map(|called| {
        let id = &called.service.id;
        json!({"hostname": id.host, "namespace": id.namespace})
    });
    let rules = outbound.services.iter().filter_map(|called| {
        let rule = called.rule.as_ref()?;
        let origin = rule.origin.iter().map(ToString::to_string);
        Some((called.service.id.host.clone(), origin.collect()))
    });
    let routings = outbound.views.iter().flat_map(|view| &view.routings);
    let routings: BTreeSet<String> = routings
        .map(|routing| format!("{}/{}", routing.namespace, routing.name))
        .collect();
    let mode = match outbound.policy {
        OutboundMode::RegistryOnly => "REGISTRY_ONLY",
        OutboundMode::AllowAny => "ALLOW_ANY",
        OutboundMode::AllowAnyDynamicDns => "ALLOW_ANY_DYNAMIC_DNS",
    };
    Answer::Json(json!({
        "namespace": connection.namespace,
        "outboundTrafficPolicy": {"mode": mode},
        "services": services.collect::<Vec<_>>(),
        "destinationRules": rules.collect::<Map<String, Value>>(),
        "virtualServices": routings,
        "egressListeners": outbound.views.len(),
    }))
}

/// `/debug/instancesz`: the services that each connected proxy stands for.
pub(super) fn instancesz(debug: &Debug, question: &Question) -> Answer {
    let all = debug.connections.all();
    let shown = all.iter().filter(|one| question.may_see(&one.namespace));
    let instances = shown.map(|connection| {
        let scope = scope(debug, connection);
        let ports = scope.iter().flat_map(|scope| &scope.inbound.ports);
        let instances = ports.filter_map(|port| {
            let service = port.service.as_ref()?;
            let mut shown = port_json(&port.port);
            shown["TargetPort"] = port.target.into();
            Some(json!({"Service": service_json(service, &debug.cluster), "Port": shown}))
        });
        (connection.proxy.clone(), instances.collect())
    });
    Answer::Json(Value::Object(instances.collect()))
}

/// What a connected proxy may see; `None` before there is a mesh, and for those who are no proxies.
pub(super) fn scope(debug: &Debug, connection: &Connection) -> Option<Scope> {
    let mesh = debug.meshes.borrow().clone()?;
    let world = debug.worlds.borrow().clone()?;
    let mut proxy = proxy_of(connection)?;
    proxy::complete(&mut proxy, &world);
    Some(Mesh::scope(&mesh, &proxy))
}

fn proxy_of(connection: &Connection) -> Option<Proxy> {
    let Connection {
        kind,
        proxy,
        namespace,
        ..
    } = connection;
    let id = format!("{kind}~0.0.0.0~{proxy}~{namespace}.svc.cluster.local");
    let metadata = connection.metadata();
    Proxy::of_node(&id, &metadata, Locality::default(), Flavour::IstioProxy).ok()
}

/// `/debug/cachez?sizes=`: what is kept for the connected proxies, each resource once, by type.
pub(super) fn cachez(debug: &Debug, question: &Question) -> Answer {
    if question
        .parameter("clear")
        .is_some_and(|clear| !clear.is_empty())
    {
        return Answer::Refused(
            400,
            "there is nothing to clear: what is kept is found by what it was made from\n",
        );
    }
    let mut seen = BTreeSet::new();
    let mut kept: BTreeMap<&str, BTreeMap<(Arc<str>, u128), usize>> = BTreeMap::new();
    for connection in debug.connections.all() {
        let resources = connection.resources();
        // Proxies of one kind share the value.
        if !seen.insert(Arc::as_ptr(&resources).addr()) {
            continue;
        }
        for type_url in DERIVED {
            for resource in resources.of_type(type_url) {
                let key = (resource.name.clone(), resource.version);
                let of_type = kept.entry(type_url).or_default();
                of_type.entry(key).or_insert_with(|| resource.bytes().len());
            }
        }
    }
    if question
        .parameter("sizes")
        .is_some_and(|sizes| !sizes.is_empty())
    {
        let sizes = kept.iter().map(|(type_url, of_type)| {
            let size = of_type.values().sum::<usize>();
            ((*type_url).to_owned(), size)
        });
        let mut sizes: BTreeMap<String, usize> = sizes.collect();
        let total = sizes.values().sum();
        sizes.insert("total".to_owned(), total);
        let shown = sizes
            .into_iter()
            .map(|(key, size)| (key, bytes(size).into()));
        return Answer::Json(Value::Object(shown.collect()));
    }
    let names = kept.into_iter().map(|(type_url, of_type)| {
        let names = of_type.into_keys();
        let names = names.map(|(name, version)| Value::from(format!("{name}/{version:032x}")));
        (type_url.to_owned(), names.collect())
    });
    Answer::Json(Value::Object(names.collect()))
}

/// A size as upstream prints it: `1.2kB`.
fn bytes(size: usize) -> String {
    let mut scaled = size as f64;
    for unit in ["B", "kB", "MB"] {
        if scaled < 1000.0 {
            return match unit {
                "B" => format!("{size}B"),
                unit => format!("{scaled:.1}{unit}"),
            };
        }
        scaled /= 1000.0;
    }
    format!("{scaled:.1}GB")
}

/// `/debug/clusterz`: the clusters that endpoints are read from: the own one.
pub(super) fn clusterz(debug: &Debug) -> Answer {
    let synced = debug.meshes.borrow().is_some();
    let status = match synced {
        true => "synced",
        false => "syncing",
    };
    Answer::Json(json!([{"id": debug.cluster, "secretName": "", "syncStatus": status}]))
}

/// `/debug/networkz`: the gateways into other networks.
pub(super) fn networkz(debug: &Debug) -> Answer {
    Answer::Json(gateways(debug))
}

/// The gateways into other networks, under upstream's keys.
pub(super) fn gateways(debug: &Debug) -> Value {
    let mesh = debug.meshes.borrow().clone();
    let networks = mesh.map(|mesh| mesh.networks(&debug.cluster));
    let gateways = networks.iter().flat_map(|networks| networks.all());
    let gateways = gateways.map(|(network, gateway)| {
        json!({
            "Network": network,
            "Cluster": gateway.cluster,
            "Addr": gateway.address.to_string(),
            "Port": gateway.port,
            "HBONEPort": 0,
            "ServiceAccount": {"Namespace": "", "Name": ""},
        })
    });
    gateways.collect()
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_read_as_upstreams() {
        for (size, expected) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.0kB"),
            (1_234_567, "1.2MB"),
            (5_000_000_000, "5.0GB"),
        ] {
            assert_eq!(bytes(size), expected);
        }
    }
}
