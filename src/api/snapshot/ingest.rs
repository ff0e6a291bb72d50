//! From an object as YAML or JSON to the struct that the mesh reads. Says nothing about relations.
//! Fields that the mesh does not read are left out; a field of a wrong type is a Problem.

mod closing;

use std::sync::Arc;

use base::{ObjectRef, Problem};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Address, BackendPort, EndpointSlice, Ingress, IngressBackend, IngressClass, IngressPath,
    IngressRule, IngressTls, Key, Labels, Locality, Meta, Namespace, Node, Object, PathKind, Pod,
    Secret, SecretRoots, Service, ServicePort, SliceEndpoint, TargetPort, TrafficDistribution,
    Transport,
};
use crate::networking::destination_rule::DestinationRule;
use crate::networking::gateway::Gateway;
use crate::networking::service_entry::ServiceEntry;
use crate::networking::sidecar::Sidecar;
use crate::networking::virtual_service::VirtualService;
use crate::networking::workload_entry::WorkloadEntry;
use crate::security::authorization_policy::AuthorizationPolicy;
use crate::security::jwt::RequestAuthentication;
use crate::security::peer_authentication::PeerAuthentication;
use crate::telemetry::Telemetry;

/// Kinds that the mesh reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is named as the kind that it stands for")]
pub enum Kind {
    Namespace,
    Node,
    Service,
    EndpointSlice,
    Pod,
    Secret,
    ConfigMap,
    VirtualService,
    DestinationRule,
    Gateway,
    ServiceEntry,
    WorkloadEntry,
    Sidecar,
    Ingress,
    IngressClass,
    PeerAuthentication,
    AuthorizationPolicy,
    RequestAuthentication,
    Telemetry,
}

impl Kind {
    /// The kind of an object, whatever the version of its API.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Some(match (group, kind) {
            ("", "Namespace") => Kind::Namespace,
            ("", "Node") => Kind::Node,
            ("", "Service") => Kind::Service,
            ("", "Pod") => Kind::Pod,
            ("", "Secret") => Kind::Secret,
            ("", "ConfigMap") => Kind::ConfigMap,
            ("discovery.k8s.io", "EndpointSlice") => Kind::EndpointSlice,
            ("networking.istio.io", "VirtualService") => Kind::VirtualService,
            ("networking.istio.io", "DestinationRule") => Kind::DestinationRule,
            ("networking.istio.io", "Gateway") => Kind::Gateway,
            ("networking.istio.io", "ServiceEntry") => Kind::ServiceEntry,
            ("networking.istio.io", "WorkloadEntry") => Kind::WorkloadEntry,
            ("networking.istio.io", "Sidecar") => Kind::Sidecar,
            ("networking.k8s.io", "Ingress") => Kind::Ingress,
            ("networking.k8s.io", "IngressClass") => Kind::IngressClass,
            ("security.istio.io", "PeerAuthentication") => Kind::PeerAuthentication,
            ("security.istio.io", "AuthorizationPolicy") => Kind::AuthorizationPolicy,
            ("security.istio.io", "RequestAuthentication") => Kind::RequestAuthentication,
            ("telemetry.istio.io", "Telemetry") => Kind::Telemetry,
            _ => return None,
        })
    }
}

/// A parsed object.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    missing_docs,
    clippy::large_enum_variant,
    reason = "each is named as the kind that it holds, and lives only on its way into a table"
)]
pub enum Item {
    Namespace(Key, Namespace),
    Node(Key, Node),
    Service(Key, Service),
    EndpointSlice(Key, EndpointSlice),
    Pod(Key, Pod),
    Secret(Key, Secret),
    ConfigMap(Key, SecretRoots),
    VirtualService(Key, Object<VirtualService>),
    DestinationRule(Key, Object<DestinationRule>),
    Gateway(Key, Object<Gateway>),
    ServiceEntry(Key, Object<ServiceEntry>),
    WorkloadEntry(Key, Object<WorkloadEntry>),
    Sidecar(Key, Object<Sidecar>),
    Ingress(Key, Ingress),
    IngressClass(Key, IngressClass),
    PeerAuthentication(Key, Object<PeerAuthentication>),
    AuthorizationPolicy(Key, Object<AuthorizationPolicy>),
    RequestAuthentication(Key, Object<RequestAuthentication>),
    Telemetry(Key, Object<Telemetry>),
}

impl Item {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Item::Namespace(..) => Kind::Namespace,
            Item::Node(..) => Kind::Node,
            Item::Service(..) => Kind::Service,
            Item::EndpointSlice(..) => Kind::EndpointSlice,
            Item::Pod(..) => Kind::Pod,
            Item::Secret(..) => Kind::Secret,
            Item::ConfigMap(..) => Kind::ConfigMap,
            Item::VirtualService(..) => Kind::VirtualService,
            Item::DestinationRule(..) => Kind::DestinationRule,
            Item::Gateway(..) => Kind::Gateway,
            Item::ServiceEntry(..) => Kind::ServiceEntry,
            Item::WorkloadEntry(..) => Kind::WorkloadEntry,
            Item::Sidecar(..) => Kind::Sidecar,
            Item::Ingress(..) => Kind::Ingress,
            Item::IngressClass(..) => Kind::IngressClass,
            Item::PeerAuthentication(..) => Kind::PeerAuthentication,
            Item::AuthorizationPolicy(..) => Kind::AuthorizationPolicy,
            Item::RequestAuthentication(..) => Kind::RequestAuthentication,
            Item::Telemetry(..) => Kind::Telemetry,
        }
    }

    /// Its namespace and name.
    pub fn key(&self) -> &Key {
        match self {
            Item::Namespace(key, _)
            | Item::Node(key, _)
            | Item::Service(key, _)
            | Item::EndpointSlice(key, _)
            | Item::Pod(key, _)
            | Item::Secret(key, _)
            | Item::ConfigMap(key, _)
            | Item::VirtualService(key, _)
            | Item::DestinationRule(key, _)
            | Item::Gateway(key, _)
            | Item::ServiceEntry(key, _)
            | Item::WorkloadEntry(key, _)
            | Item::Sidecar(key, _)
            | Item::Ingress(key, _)
            | Item::IngressClass(key, _)
            | Item::PeerAuthentication(key, _)
            | Item::AuthorizationPolicy(key, _)
            | Item::RequestAuthentication(key, _)
            | Item::Telemetry(key, _) => key,
        }
    }
}

/// Reads one object; `None` for kinds that the mesh does not read.
///
/// # Errors
/// A Problem that names the object and what is wrong with its form.
#[allow(
    clippy::result_large_err,
    reason = "a Problem is a value that people read, and this one is rare"
)]
pub fn read(object: &Value) -> Result<Option<Item>, Problem> {
    let meta = meta(object);
    let Some(kind) = Kind::of(&meta.reference.api_version, &meta.reference.kind) else {
        return Ok(None);
    };
    let key = meta.key();
    let spec = &object["spec"];
    Ok(Some(match kind {
        Kind::Namespace => {
            let namespace = Namespace {
                traffic_distribution: TrafficDistribution::of_annotation(&annotation(
                    object,
                    TRAFFIC_DISTRIBUTION,
                )),
                labels: meta.labels.clone(),
            };
            Item::Namespace(Key::new("", meta.name()), namespace)
        }
        Kind::Node => Item::Node(Key::new("", meta.name()), node(&meta, object)),
        Kind::Service => Item::Service(key, service(meta, object)),
        Kind::EndpointSlice => Item::EndpointSlice(key, slice(&meta, object)),
        Kind::Pod => Item::Pod(key, pod(&meta, object)),
        Kind::Secret => return Ok(Secret::of(object).map(|secret| Item::Secret(key, secret))),
        Kind::ConfigMap => {
            let roots = SecretRoots::of_config_map(object);
            return Ok(roots.map(|roots| Item::ConfigMap(key, roots)));
        }
        Kind::VirtualService => Item::VirtualService(key, parse(meta, spec)?),
        Kind::DestinationRule => Item::DestinationRule(key, parse(meta, spec)?),
        Kind::Gateway => Item::Gateway(key, parse(meta, spec)?),
        Kind::ServiceEntry => {
            let mut entry: Object<ServiceEntry> = parse(meta, spec)?;
            entry.spec.allocated = array(&object["status"]["addresses"])
                .map(|address| (text(&address["host"]), text(&address["value"])))
                .collect();
            entry.spec.traffic_distribution =
                TrafficDistribution::of_annotation(&annotation(object, TRAFFIC_DISTRIBUTION));
            entry.spec.races_connections = annotation(object, "istio.io/connect-strategy")
                .eq_ignore_ascii_case("RACE_FIRST_TCP_CONNECT");
            Item::ServiceEntry(key, entry)
        }
        Kind::WorkloadEntry => {
            let mut entry: Object<WorkloadEntry> = parse(meta, spec)?;
            // Labels of the object are labels of the workload, and outdo those of the spec.
            let own = entry.meta.labels.clone();
            entry.spec.labels.extend(own);
            let watched = annotation(object, "proxy.istio.io/health-checks-enabled");
            let mut conditions = array(&object["status"]["conditions"]);
            entry.spec.unhealthy = watched.eq_ignore_ascii_case("true")
                && !conditions.any(|known| known["type"] == "Healthy" && known["status"] == "True");
            Item::WorkloadEntry(key, entry)
        }
        Kind::Sidecar => Item::Sidecar(key, parse(meta, spec)?),
        Kind::Ingress => Item::Ingress(key, ingress(meta, object)),
        Kind::IngressClass => {
            let controller = text(&spec["controller"]);
            Item::IngressClass(Key::new("", meta.name()), IngressClass { controller })
        }
        Kind::PeerAuthentication => {
            Item::PeerAuthentication(key, closing::peer_authentication(meta, object))
        }
        Kind::AuthorizationPolicy => {
            Item::AuthorizationPolicy(key, closing::authorization_policy(meta, object))
        }
        Kind::RequestAuthentication => {
            Item::RequestAuthentication(key, closing::request_authentication(meta, object))
        }
        Kind::Telemetry => Item::Telemetry(key, parse(meta, spec)?),
    }))
}

#[allow(clippy::result_large_err, reason = "as for `read`")]
fn parse<T: DeserializeOwned>(meta: Meta, spec: &Value) -> Result<Object<T>, Problem> {
    let empty = Value::Object(serde_json::Map::new());
    let spec = if spec.is_null() { &empty } else { spec };
    match T::deserialize(&without_nulls(spec)) {
        Ok(spec) => Ok(Object { meta, spec }),
        Err(error) => {
            let message = format!("cannot be read: {error}");
            Err(Problem::error(
                &meta.reference,
                "spec",
                "InvalidValue",
                message,
            ))
        }
    }
}

/// A null is as good as an absent field.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

fn meta(object: &Value) -> Meta {
    let metadata = &object["metadata"];
    let namespace = text(&metadata["namespace"]);
    Meta {
        reference: Arc::new(ObjectRef {
            api_version: text(&object["apiVersion"]),
            kind: text(&object["kind"]),
            namespace: (!namespace.is_empty()).then_some(namespace),
            name: text(&metadata["name"]),
        }),
        created: metadata["creationTimestamp"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH),
        labels: labels(&metadata["labels"]),
    }
}

/// Annotation of Services, ServiceEntries and Namespaces: which endpoints callers are to prefer.
const TRAFFIC_DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";

/// An annotation, empty when it is absent.
fn annotation(object: &Value, name: &str) -> String {
    text(&object["metadata"]["annotations"][name])
}

fn node(meta: &Meta, object: &Value) -> Node {
    let label = |names: &[&str]| {
        let found = names.iter().find_map(|name| meta.labels.get(*name));
        found.cloned().unwrap_or_default()
    };
    Node {
        name: meta.name().to_owned(),
        locality: Locality {
            region: label(&[
                "topology.kubernetes.io/region",
                "failure-domain.beta.kubernetes.io/region",
            ]),
            zone: label(&[
                "topology.kubernetes.io/zone",
                "failure-domain.beta.kubernetes.io/zone",
            ]),
            sub_zone: label(&["topology.istio.io/subzone"]),
        },
        external_addresses: array(&object["status"]["addresses"])
            .filter(|address| address["type"] == "ExternalIP")
            .map(|address| text(&address["address"]))
            .filter(|address| !address.is_empty())
            .collect(),
    }
}

fn service(meta: Meta, object: &Value) -> Service {
    let spec = &object["spec"];
    let annotation = |name: &str| {
        let value = object["metadata"]["annotations"][name].as_str();
        value.map(str::to_owned)
    };
    let split = |text: String| -> Vec<String> {
        let parts = text.split(',').map(|part| part.trim().to_owned());
        parts.filter(|part| !part.is_empty()).collect()
    };
    let mut addresses: Vec<String> = array(&spec["clusterIPs"]).map(text).collect();
    if addresses.is_empty() {
        addresses.push(text(&spec["clusterIP"]));
    }
    let headless = addresses.first().is_some_and(|first| first == "None");
    addresses.retain(|address| !address.is_empty() && address != "None");
    let external = spec["type"] == "ExternalName" && !text(&spec["externalName"]).is_empty();
    let node_selector = annotation("traffic.istio.io/nodeSelector")
        .filter(|_| spec["type"] == "NodePort")
        .map(|text| labels(&serde_json::from_str::<Value>(&text).unwrap_or_default()));
    let extra_accounts = [
        "alpha.istio.io/kubernetes-serviceaccounts",
        "alpha.istio.io/canonical-serviceaccounts",
    ];
    Service {
        addresses,
        headless,
        external_name: external.then(|| text(&spec["externalName"])),
        ports: array(&spec["ports"]).map(service_port).collect(),
        selector: spec["selector"]
            .as_object()
            .filter(|selector| !selector.is_empty())
            .map(|_| labels(&spec["selector"])),
        publish_not_ready: spec["publishNotReadyAddresses"] == true,
        export_to: annotation("networking.istio.io/exportTo").map(split),
        traffic_distribution: spec["trafficDistribution"]
            .as_str()
            .and_then(TrafficDistribution::of_field)
            .or_else(|| {
                TrafficDistribution::of_annotation(&self::annotation(object, TRAFFIC_DISTRIBUTION))
            }),
        internal_local: spec["internalTrafficPolicy"] == "Local",
        external_addresses: external_addresses(object),
        node_ports: match &node_selector {
            Some(_) => array(&spec["ports"])
                .map(|port| (number(&port["port"]), number(&port["nodePort"])))
                .collect(),
            None => Vec::new(),
        },
        node_selector,
        extra_accounts: extra_accounts
            .into_iter()
            .filter_map(annotation)
            .flat_map(split)
            .collect(),
        meta,
    }
}

/// Where a Service is reached from outside, as far as itself says it: addresses and names of its
/// load balancer, then external IPs.
fn external_addresses(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if object["spec"]["type"] == "LoadBalancer" {
        for ingress in array(&object["status"]["loadBalancer"]["ingress"]) {
            let ways = [&ingress["ip"], &ingress["hostname"]];
            let way = ways.into_iter().filter_map(Value::as_str);
            found.extend(way.filter(|way| !way.is_empty()).take(1).map(str::to_owned));
        }
    }
    found.extend(array(&object["spec"]["externalIPs"]).map(text));
    found
}

fn ingress(meta: Meta, object: &Value) -> Ingress {
    let spec = &object["spec"];
    let annotations = &object["metadata"]["annotations"];
    let path = |path: &Value| {
        let service = &path["backend"]["service"];
        let number = number(&service["port"]["number"]);
        IngressPath {
            path: text(&path["path"]),
            kind: match path["pathType"].as_str() {
                Some("Exact") => PathKind::Exact,
                Some("Prefix") => PathKind::Prefix,
                _ => PathKind::Implementation,
            },
            backend: service.is_object().then(|| IngressBackend {
                service: text(&service["name"]),
                port: match number {
                    0 => BackendPort::Name(text(&service["port"]["name"])),
                    number => BackendPort::Number(number),
                },
            }),
        }
    };
    let rule = |rule: &Value| IngressRule {
        host: text(&rule["host"]),
        paths: rule["http"]
            .is_object()
            .then(|| array(&rule["http"]["paths"]).map(path).collect()),
    };
    Ingress {
        annotated_class: annotations["kubernetes.io/ingress.class"]
            .as_str()
            .map(str::to_owned),
        class: spec["ingressClassName"].as_str().map(str::to_owned),
        tls: array(&spec["tls"])
            .map(|tls| IngressTls {
                hosts: array(&tls["hosts"]).map(text).collect(),
                secret: text(&tls["secretName"]),
            })
            .collect(),
        rules: array(&spec["rules"]).map(rule).collect(),
        meta,
    }
}

fn service_port(port: &Value) -> ServicePort {
    let number = number(&port["port"]);
    ServicePort {
        name: text(&port["name"]),
        number,
        transport: match port["protocol"].as_str() {
            Some("UDP") => Transport::Udp,
            Some("SCTP") => Transport::Sctp,
            _ => Transport::Tcp,
        },
        app_protocol: port["appProtocol"].as_str().map(str::to_owned),
        target: match &port["targetPort"] {
            Value::String(name) => match name.parse() {
                Ok(number) => TargetPort::Number(number),
                Err(_) => TargetPort::Name(name.clone()),
            },
            Value::Null => TargetPort::Number(number),
            other => TargetPort::Number(self::number(other)),
        },
    }
}

fn slice(meta: &Meta, object: &Value) -> EndpointSlice {
    let service = meta.labels.get("kubernetes.io/service-name");
    EndpointSlice {
        namespace: meta.namespace().to_owned(),
        name: meta.name().to_owned(),
        service: service.cloned().unwrap_or_default(),
        ports: array(&object["ports"])
            .map(|port| (text(&port["name"]), number(&port["port"])))
            .collect(),
        endpoints: array(&object["endpoints"])
            .map(|endpoint| {
                let target = &endpoint["targetRef"];
                let optional = |value: &Value| value.as_str().map(str::to_owned);
                SliceEndpoint {
                    addresses: array(&endpoint["addresses"])
                        .filter_map(Value::as_str)
                        .map(Address::parse)
                        .collect(),
                    ready: endpoint["conditions"]["ready"] != false,
                    serving: endpoint["conditions"]["serving"] != false,
                    terminating: endpoint["conditions"]["terminating"].as_bool(),
                    pod: (target["kind"] == "Pod").then(|| {
                        let namespace = target["namespace"].as_str();
                        let namespace = namespace.unwrap_or(meta.namespace()).to_owned();
                        (namespace, text(&target["name"]))
                    }),
                    node: optional(&endpoint["nodeName"]),
                }
            })
            .collect(),
    }
}

fn pod(meta: &Meta, object: &Value) -> Pod {
    let (spec, status) = (&object["spec"], &object["status"]);
    let mut addresses: Vec<String> = array(&status["podIPs"])
        .map(|address| text(&address["ip"]))
        .collect();
    if addresses.is_empty() {
        addresses.extend(status["podIP"].as_str().map(str::to_owned));
    }
    let account = text(&spec["serviceAccountName"]);
    Pod {
        namespace: meta.namespace().to_owned(),
        name: meta.name().to_owned(),
        labels: meta.labels.clone(),
        service_account: if account.is_empty() {
            "default".to_owned()
        } else {
            account
        },
        node: text(&spec["nodeName"]),
        addresses,
        workload: workload(meta, object),
        hostname: spec["subdomain"]
            .as_str()
            .filter(|subdomain| !subdomain.is_empty())
            .map(|subdomain| {
                let own = spec["hostname"].as_str().filter(|own| !own.is_empty());
                (own.unwrap_or(meta.name()).to_owned(), subdomain.to_owned())
            }),
        ports: array(&spec["containers"])
            .flat_map(|container| array(&container["ports"]))
            .filter(|port| matches!(port["protocol"].as_str(), None | Some("TCP")))
            .map(|port| (text(&port["name"]), number(&port["containerPort"])))
            .filter(|(name, _)| !name.is_empty())
            .collect(),
        ready: status["phase"] == "Running"
            && object["metadata"]["deletionTimestamp"].is_null()
            && array(&status["conditions"])
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True"),
    }
}

/// The workload that a pod belongs to: the controller's name for a pod with a generated name, and
/// the Deployment's for one of its ReplicaSets; else the pod's own.
fn workload(meta: &Meta, object: &Value) -> String {
    let metadata = &object["metadata"];
    let owner = array(&metadata["ownerReferences"]).find(|owner| owner["controller"] == true);
    let generated = metadata["generateName"]
        .as_str()
        .is_some_and(|name| !name.is_empty());
    let Some(owner) = owner.filter(|_| generated) else {
        return meta.name().to_owned();
    };
    let name = text(&owner["name"]);
    let hash = meta.labels.get("pod-template-hash");
    match hash.and_then(|hash| name.strip_suffix(hash.as_str())?.strip_suffix('-')) {
        Some(deployment) if owner["kind"] == "ReplicaSet" => deployment.to_owned(),
        _ => name,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u16 {
    let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
    number.unwrap_or_default()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn labels(value: &Value) -> Labels {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}
