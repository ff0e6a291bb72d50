//! A process with two proxies, as its tests ask about it.

use std::sync::{Arc, OnceLock};

use api::snapshot::{World, read};
use base::SpiffeId;
use proto::codec::{encode_cluster, encode_endpoint, encode_secret, type_url};
use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use proto::envoy::extensions::transport_sockets::tls::v3::{Secret, TlsCertificate, secret};
use serde_json::{Value, json};
use serve::authenticate::{Authenticate, Credentials, Identity, Refusal};
use tokio::sync::watch;

use super::connections::tests::open;
use super::{Connections, Debug, Entry, Late};
use crate::{Resource, Resources};

/// Takes the header for the namespace of service account `any`.
struct Namespaced;

#[tonic::async_trait]
impl Authenticate for Namespaced {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Identity, Refusal> {
        let namespace = credentials.authorization.ok_or(Refusal::NoCredentials)?;
        let spiffe = caller(namespace);
        Ok(Identity { spiffe })
    }
}

pub fn caller(namespace: &str) -> SpiffeId {
    SpiffeId {
        trust_domain: "cluster.local".to_owned(),
        namespace: namespace.to_owned(),
        service_account: "any".to_owned(),
    }
}

fn inline(text: &str) -> Option<DataSource> {
    Some(DataSource {
        specifier: Some(Specifier::InlineBytes(text.into())),
        ..Default::default()
    })
}

fn resources() -> Resources {
    let mut resources = Resources::default();
    for name in ["outbound|80||a", "outbound|80||b"] {
        let cluster = Cluster {
            name: name.to_owned(),
            ..Default::default()
        };
        let endpoints = ClusterLoadAssignment {
            cluster_name: name.to_owned(),
            ..Default::default()
        };
        resources.insert(
            type_url::CLUSTER,
            Resource::new(
                type_url::CLUSTER,
                name,
                &encode_cluster(&cluster),
                Vec::new(),
            ),
        );
        resources.insert(
            type_url::ENDPOINT,
            Resource::new(
                type_url::ENDPOINT,
                name,
                &encode_endpoint(&endpoints),
                Vec::new(),
            ),
        );
    }
    let certificate = TlsCertificate {
        certificate_chain: inline("a chain"),
        private_key: inline("a key"),
        ..Default::default()
    };
    let secret = Secret {
        name: "tls".to_owned(),
        r#type: Some(secret::Type::TlsCertificate(certificate)),
    };
    resources.insert(
        type_url::SECRET,
        Resource::new(type_url::SECRET, "tls", &encode_secret(&secret), Vec::new()),
    );
    resources
}

/// A world of policies, as it was written.
fn written() -> crate::Written {
    let policy = |namespace: &str, name: &str, created: &str| {
        json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": {"namespace": namespace, "name": name, "creationTimestamp": created},
            "spec": {"action": "DENY"}})
    };
    let objects = [
        policy("shop", "younger", "2026-01-02T00:00:00Z"),
        policy("shop", "older", "2026-01-01T00:00:00Z"),
        policy("bank", "only", "2026-01-01T00:00:00Z"),
        telemetry(
            "istio-system",
            &json!({"tracing": [{"randomSamplingPercentage": 5}]}),
        ),
        telemetry(
            "shop",
            &json!({"accessLogging": [{"disabled": true}], "selector": {"matchLabels": {"app": "web"}}}),
        ),
    ];
    crate::Written {
        mesh: json!({"trustDomain": "cluster.local"}),
        objects: objects.iter().map(|one| one.to_string().into()).collect(),
        templates: [("sidecar".to_owned(), "spec: {}".to_owned())].into(),
    }
}

fn telemetry(namespace: &str, spec: &Value) -> Value {
    json!({"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry",
        "metadata": {"namespace": namespace, "name": "t"}, "spec": spec})
}

/// `web.shop` took its clusters and refused its endpoints, `pay.bank` asked for nothing.
pub fn debug() -> (Debug, Vec<Entry>) {
    let connections = Connections::default();
    let follows: [(&str, &[&str]); 3] = [
        (type_url::CLUSTER, &["*"]),
        (type_url::ENDPOINT, &["outbound|80||a"]),
        (type_url::SECRET, &["tls"]),
    ];
    let web = open(&connections, "web", "shop", &follows, resources());
    web.sent(type_url::CLUSTER, "1");
    web.heard(type_url::CLUSTER, "1", None);
    web.sent(type_url::ENDPOINT, "2");
    web.heard(type_url::ENDPOINT, "2", Some("no such thing"));
    let pay = open(&connections, "pay", "bank", &[], Resources::default());
    let mut world = World::new("cluster.local");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"clusterIP": "10.0.0.5", "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}});
    world.put(read(&service).expect("readable").expect("read"));
    for text in written().objects {
        let object: Value = serde_json::from_str(&text).expect("JSON");
        world.put(read(&object).expect("readable").expect("read"));
    }
    let (mesh, _) = mesh::compile(world.snapshot());
    let debug = Debug {
        connections,
        meshes: watch::channel(Some(Arc::new(mesh))).1,
        worlds: watch::channel(Some(world)).1,
        authenticate: Some(Arc::new(Namespaced)),
        system_namespace: "istio-system".to_owned(),
        cluster: "c1".to_owned(),
        written: Arc::new(written),
    };
    (debug, vec![web, pay])
}

pub fn late(debug: Debug) -> Late {
    Arc::new(OnceLock::from(debug))
}
