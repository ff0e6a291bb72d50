//! Services and endpoints, as the mesh knows them: `registryz`, `endpointShardz`.

use std::collections::BTreeMap;

use api::snapshot::{Endpoint, Health, HostEndpoints};
use mesh::{Mesh, Port, Protocol, Registry, Resolution, Service};
use serde_json::{Map, Value, json};

use super::{Answer, Debug};

/// `/debug/registryz`: all services.
pub(super) fn services(debug: &Debug) -> Answer {
    let mesh = debug.meshes.borrow().clone();
    let services = mesh.iter().flat_map(|mesh| Mesh::services(mesh));
    Answer::Json(
        services
            .map(|one| service_json(one, &debug.cluster))
            .collect(),
    )
}

/// A service under upstream's keys.
pub(super) fn service_json(service: &Service, cluster: &str) -> Value {
    let registry = match service.registry {
        Registry::Kubernetes => "Kubernetes",
        Registry::External => "External",
    };
    let ports = service.ports.iter().map(port_json);
    let resolution = match service.resolution {
        Resolution::Endpoints => 0,
        Resolution::Dns => 1,
        Resolution::Passthrough => 2,
        Resolution::DnsRoundRobin => 3,
        Resolution::Alias => 4,
        Resolution::DynamicDns => 5,
    };
    let mut fields = json!({
        "Attributes": {
            "ServiceRegistry": registry,
            "Name": service.name,
            "Namespace": service.id.namespace,
            "LabelSelectors": service.selector,
        },
        "ports": ports.collect::<Vec<_>>(),
        "creationTime": service.created.to_string(),
        "hostname": service.id.host,
        "Resolution": resolution,
        "MeshExternal": service.external,
    });
    if !service.accounts.is_empty() {
        let accounts = service.accounts.iter();
        let accounts = accounts.map(|(namespace, name)| format!("{namespace}/{name}"));
        fields["serviceAccounts"] = accounts.collect();
    }
    if let Some(first) = service.addresses.first() {
        fields["clusterVIPs"] = json!({"Addresses": {cluster: service.addresses}});
        fields["defaultAddress"] = first.as_str().into();
    }
    for allocated in &service.allocated {
        let family = match allocated.contains(':') {
            false => "autoAllocatedIPv4Address",
            true => "autoAllocatedIPv6Address",
        };
        fields[family] = allocated.as_str().into();
    }
    fields
}

/// A port under upstream's keys.
pub(super) fn port_json(port: &Port) -> Value {
    let mut fields = Map::new();
    if !port.name.is_empty() {
        fields.insert("name".to_owned(), port.name.as_str().into());
    }
    fields.insert("port".to_owned(), port.number.into());
    fields.insert("protocol".to_owned(), protocol(port.protocol).into());
    Value::Object(fields)
}

/// The protocol as upstream spells it.
fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "HTTP",
        Protocol::HttpProxy => "HTTP_PROXY",
        Protocol::Http2 => "HTTP2",
        Protocol::Grpc => "GRPC",
        Protocol::GrpcWeb => "GRPC-Web",
        Protocol::Https => "HTTPS",
        Protocol::Tls => "TLS",
        Protocol::Tcp => "TCP",
        Protocol::Mongo => "Mongo",
        Protocol::Redis => "Redis",
        Protocol::MySql => "MySQL",
        Protocol::Udp => "UDP",
        Protocol::Unsupported => "UnsupportedProtocol",
    }
}

/// `/debug/endpointShardz` and `/debug/endpointz`: host → namespace → its endpoints by where they come from.
pub(super) fn shards(debug: &Debug) -> Answer {
    let world = debug.worlds.borrow().clone();
    let mut hosts: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let known = world.iter().flat_map(|world| world.endpoints());
    for (id, endpoints) in known {
        let of_host = hosts.entry(id.host.clone()).or_default();
        of_host.insert(id.namespace.clone(), shard(endpoints, &debug.cluster));
    }
    let hosts = hosts.into_iter();
    Answer::Json(Value::Object(
        hosts.map(|(host, shards)| (host, shards.into())).collect(),
    ))
}

fn shard(host: &HostEndpoints, cluster: &str) -> Value {
    let all = host.endpoints.iter();
    let endpoints: Vec<Value> = all.clone().flat_map(|one| endpoint(one, cluster)).collect();
    let accounts: Map<String, Value> = all
        .filter(|one| !one.service_account.is_empty())
        .map(|one| (one.service_account.clone(), json!({})))
        .collect();
    json!({
        "Shards": {format!("Kubernetes/{cluster}"): endpoints},
        "ServiceAccounts": accounts,
    })
}

/// One for each port, as upstream counts endpoints.
fn endpoint<'a>(endpoint: &'a Endpoint, cluster: &'a str) -> impl Iterator<Item = Value> + 'a {
    let health = match endpoint.health {
        Health::Unknown | Health::Healthy => 1,
        Health::Unhealthy => 2,
        Health::Draining => 3,
    };
    let place = &endpoint.locality;
    let parts = [&place.region, &place.zone, &place.sub_zone];
    let parts: Vec<&str> = parts.iter().map(|part| part.as_str()).collect();
    let label = parts.join("/").trim_end_matches('/').to_owned();
    endpoint.ports.iter().map(move |(name, number)| {
        json!({
            "Labels": *endpoint.labels,
            "Addresses": [endpoint.address.to_string()],
            "ServicePortName": name,
            "ServiceAccount": endpoint.service_account,
            "Network": endpoint.network,
            "Locality": {"Label": label, "ClusterID": cluster},
            "EndpointPort": number,
            "LbWeight": endpoint.weight,
            "TLSMode": if endpoint.mutual_tls { "istio" } else { "disabled" },
            "Namespace": endpoint.namespace,
            "WorkloadName": endpoint.workload,
            "HostName": endpoint.hostname.as_ref().map(|(pod, _)| pod.as_str()).unwrap_or_default(),
            "HealthStatus": health,
            "NodeName": endpoint.node,
        })
    })
}
