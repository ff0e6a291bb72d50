//! Attempts at secrets, one row each: who calls with what, what the node claims, what it asks for, and what comes of
//! it. Two namespaces with a gateway and a certificate each, over real streams of a real engine.

use std::sync::Arc;
use std::time::Duration;

use api::snapshot::{World, read};
use base::SpiffeId;
use futures::stream;
use proto::ads;
use proto::codec::type_url::SECRET;
use proto::envoy::config::core::v3::Node as WireNode;
use proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use proto::google::protobuf::{Struct, Value, value::Kind};
use serve::Shutdown;
use serve::authenticate::{Authenticate, Credentials, Identity, Refusal, Right};
use serve::http::{Limits, Transport, serve};
use serve::metrics::{Registry, registry, render};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::{Access, Server};
use crate::{Connections, Debug, Metrics};

const SOON: Duration = Duration::from_secs(10);

const OBJECTS: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  selector: {istio: edge}
  servers:
  - {hosts: [shop.example.com], port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: MUTUAL, credentialName: shop-cert}}
  - {hosts: [bank.example.com], port: {number: 443, name: other, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: 'kubernetes-gateway://bank/bank-cert'}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: bank}
spec:
  selector: {istio: edge}
  servers:
  - {hosts: [bank.example.com], port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: bank-cert}}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-cert, namespace: shop}
stringData: {tls.crt: a, tls.key: b, ca.crt: c}
---
apiVersion: v1
kind: Secret
metadata: {name: unused, namespace: shop}
stringData: {tls.crt: a, tls.key: b}
---
apiVersion: v1
kind: Secret
metadata: {name: bank-cert, namespace: bank}
stringData: {tls.crt: d, tls.key: e}
";

/// Tokens are `namespace/account`; one of a `stranger` gives no right to read secrets, all others are forged.
struct ByToken;

#[tonic::async_trait]
impl Authenticate for ByToken {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Identity, Refusal> {
        let token = credentials.authorization.ok_or(Refusal::NoCredentials)?;
        let token = token.strip_prefix("Bearer ");
        let (namespace, account) = token
            .and_then(|token| token.split_once('/'))
            .ok_or_else(|| Refusal::Rejected("forged".to_owned()))?;
        Ok(Identity {
            spiffe: SpiffeId {
                trust_domain: "cluster.local".to_owned(),
                namespace: namespace.to_owned(),
                service_account: account.to_owned(),
            },
        })
    }

    async fn may_read_secrets(&self, caller: &Identity) -> Option<Right> {
        Some(Right {
            given: caller.spiffe.service_account != "stranger",
            until: Instant::now() + SOON,
        })
    }
}

/// What comes of an attempt.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// The secrets that were given; the others are said to be missing.
    Given(Vec<String>),
    /// The stream is refused, or ends.
    Refused(Code),
}

/// Who tries what.
#[derive(Clone, Copy)]
struct Attempt {
    token: Option<&'static str>,
    /// `type` and `pod.namespace` of the node id.
    node: (&'static str, &'static str),
    /// NAMESPACE and SERVICE_ACCOUNT of the metadata.
    claims: (&'static str, &'static str),
    asks: &'static [&'static str],
}

const HONEST: Attempt = Attempt {
    token: Some("Bearer shop/edge"),
    node: ("router", "edge-1.shop"),
    claims: ("shop", "edge"),
    asks: &["kubernetes://shop-cert"],
};

struct Running {
    client: AggregatedDiscoveryServiceClient<Channel>,
    registry: Registry,
    shutdown: Shutdown,
}

async fn running(access: Access) -> Running {
    let mut world = World::new("cluster.local");
    for object in api::yaml::documents(OBJECTS).expect("YAML") {
        world.put(read(&object).expect("well-formed").expect("of use"));
    }
    let (mesh, problems) = mesh::compile(world.snapshot());
    assert!(problems.is_empty(), "{problems:?}");
    let (_, meshes) = watch::channel(Some(Arc::new(mesh)));
    let (_, worlds) = watch::channel(Some(world));
    let shutdown = Shutdown::new();
    let (push, pushing) = crate::push(meshes.clone(), worlds.clone(), shutdown.clone());
    tokio::spawn(pushing);
    let mut registry = registry("pilot");
    let server = Server {
        access,
        control_plane: "istiod-1".to_owned(),
        push,
        metrics: Metrics::register(&mut registry),
        debug: Debug {
            connections: Connections::default(),
            meshes,
            worlds,
            authenticate: None,
            system_namespace: "istio-system".to_owned(),
            cluster: "Kubernetes".to_owned(),
            written: Arc::new(crate::Written::default),
        },
        shutdown: shutdown.clone(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    let router = ads::routes(Arc::new(server), 4096).into_axum_router();
    let serving = serve(
        listener,
        Transport::Plaintext,
        router,
        Limits::default(),
        shutdown.clone(),
    );
    tokio::spawn(serving);
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
    Running {
        client: AggregatedDiscoveryServiceClient::new(endpoint.connect_lazy()),
        registry,
        shutdown,
    }
}

impl Attempt {
    fn request(&self) -> DeltaDiscoveryRequest {
        let (kind, pod) = self.node;
        let (namespace, account) = self.claims;
        let text = |text: &str| Value {
            kind: Some(Kind::StringValue(text.to_owned())),
        };
        let labels = Struct {
            fields: [("istio".to_owned(), text("edge"))].into(),
        };
        let labels = Value {
            kind: Some(Kind::StructValue(labels)),
        };
        let fields = [
            ("NAMESPACE", text(namespace)),
            ("SERVICE_ACCOUNT", text(account)),
            ("LABELS", labels),
        ];
        let fields = fields
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        DeltaDiscoveryRequest {
            node: Some(WireNode {
                id: format!("{kind}~10.0.0.1~{pod}~cluster.local"),
                metadata: Some(Struct {
                    fields: fields.collect(),
                }),
                ..Default::default()
            }),
            type_url: SECRET.to_owned(),
            resource_names_subscribe: self.asks.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        }
    }

    async fn made(&self, running: &mut Running) -> Outcome {
        let requests = stream::iter([self.request()]);
        let requests = futures::StreamExt::chain(requests, stream::pending());
        let mut request = Request::new(requests);
        if let Some(token) = self.token {
            let token = token.parse().expect("ASCII");
            request.metadata_mut().insert("authorization", token);
        }
        let first = async {
            let answer = running.client.delta_aggregated_resources(request).await?;
            let answer = answer.into_inner().message().await?;
            answer.ok_or_else(|| Status::aborted("the end"))
        };
        match timeout(SOON, first).await.expect("in time") {
            Err(status) => Outcome::Refused(status.code()),
            Ok(response) => {
                let given = response.resources.into_iter().map(|one| one.name);
                let given: Vec<String> = given.collect();
                let answered = given.len() + response.removed_resources.len();
                assert_eq!(answered, self.asks.len(), "each name is answered");
                Outcome::Given(given)
            }
        }
    }
}

#[tokio::test]
async fn secrets_are_given_to_those_whose_they_are_and_every_other_attempt_counts() {
    const OWN: &[&str] = &["kubernetes://shop-cert"];
    const WITH_ROOTS: &[&str] = &["kubernetes://shop-cert", "kubernetes://shop-cert-cacert"];
    let refused = |code| Outcome::Refused(code);
    let given =
        |names: &[&str]| Outcome::Given(names.iter().map(|name| (*name).to_owned()).collect());
    let asks = |asks| Attempt { asks, ..HONEST };
    let token = |token| Attempt { token, ..HONEST };
    let claims = |node, claims| Attempt {
        node,
        claims,
        ..HONEST
    };
    let table = [
        ("the own one", HONEST, given(OWN)),
        (
            "the own one and its authorities",
            asks(WITH_ROOTS),
            given(WITH_ROOTS),
        ),
        // Names of what is not the caller's.
        (
            "another namespace's, by its full name",
            asks(&["kubernetes-gateway://bank/bank-cert"]),
            given(&[]),
        ),
        (
            "another namespace's, by a path",
            asks(&["kubernetes://bank/bank-cert"]),
            given(&[]),
        ),
        (
            "another namespace's, by its plain name",
            asks(&["kubernetes://bank-cert"]),
            given(&[]),
        ),
        (
            "another namespace's authorities",
            asks(&["kubernetes://bank/bank-cert-cacert"]),
            given(&[]),
        ),
        (
            "one of the own namespace that nothing refers to",
            asks(&["kubernetes://unused"]),
            given(&[]),
        ),
        (
            "one that does not exist",
            asks(&["kubernetes://nothing"]),
            given(&[]),
        ),
        (
            "a path out of the namespace",
            asks(&["kubernetes://../bank/bank-cert"]),
            given(&[]),
        ),
        (
            "the CA's own",
            asks(&["kubernetes://istio-system/istio-ca-secret"]),
            given(&[]),
        ),
        ("no name of a secret", asks(&["shop-cert"]), given(&[])),
        (
            "the own one among others",
            asks(&["kubernetes://shop-cert", "kubernetes://bank/bank-cert"]),
            given(OWN),
        ),
        // Tokens.
        ("no token", token(None), refused(Code::Unauthenticated)),
        (
            "a forged token",
            token(Some("Bearer forged")),
            refused(Code::Unauthenticated),
        ),
        (
            "a token without its word",
            token(Some("shop/edge")),
            refused(Code::Unauthenticated),
        ),
        (
            "another namespace's token",
            token(Some("Bearer bank/edge")),
            refused(Code::PermissionDenied),
        ),
        (
            "another account's token",
            token(Some("Bearer shop/web")),
            refused(Code::PermissionDenied),
        ),
        // Nodes that claim what the token does not prove.
        (
            "another namespace in id and metadata",
            claims(("router", "edge-1.bank"), ("bank", "edge")),
            refused(Code::PermissionDenied),
        ),
        (
            "another namespace in the metadata",
            claims(("router", "edge-1.shop"), ("bank", "edge")),
            refused(Code::PermissionDenied),
        ),
        (
            "another account",
            claims(("router", "edge-1.shop"), ("shop", "admin")),
            refused(Code::PermissionDenied),
        ),
        (
            "the root namespace",
            claims(
                ("router", "istiod.istio-system"),
                ("istio-system", "istiod"),
            ),
            refused(Code::PermissionDenied),
        ),
        (
            "an id that is none",
            claims(("router", "edge~1~shop"), ("shop", "edge")),
            refused(Code::InvalidArgument),
        ),
        (
            "an id without a type",
            claims(("", "edge-1.shop"), ("shop", "edge")),
            refused(Code::InvalidArgument),
        ),
        // The id alone claims another namespace: what counts is what was checked.
        (
            "another namespace in the id",
            claims(("router", "edge-1.bank"), ("shop", "edge")),
            given(OWN),
        ),
        (
            "a sidecar, which has certificates of its own",
            claims(("sidecar", "web-1.shop"), ("shop", "edge")),
            given(&[]),
        ),
        // Whom Kubernetes would not let read secrets.
        (
            "an account without the right to read secrets",
            Attempt {
                token: Some("Bearer shop/stranger"),
                claims: ("shop", "stranger"),
                asks: WITH_ROOTS,
                ..HONEST
            },
            given(&WITH_ROOTS[1..]),
        ),
    ];
    let mut running = running(Access::Authenticated(Arc::new(ByToken))).await;
    let (mut withheld, mut impostors, mut unknown, mut unreadable) = (0, 0, 0, 0);
    for (name, attempt, expected) in table {
        let outcome = attempt.made(&mut running).await;
        assert_eq!(outcome, expected, "{name}");
        match outcome {
            Outcome::Given(given) => withheld += attempt.asks.len() - given.len(),
            Outcome::Refused(Code::PermissionDenied) => impostors += 1,
            Outcome::Refused(Code::Unauthenticated) => unknown += 1,
            Outcome::Refused(Code::InvalidArgument) => unreadable += 1,
            Outcome::Refused(other) => panic!("{name} is refused with {other}"),
        }
    }
    // Not one is refused without being counted.
    let text = render(&running.registry);
    let refused = |reason: &str| format!("pilot_xds_refused_streams{{reason=\"{reason}\"}}");
    for (metric, count, least) in [
        ("pilot_sds_certificate_errors_total", withheld, 6),
        ("pilot_xds_identity_mismatches", impostors, 6),
        (&refused("identity_mismatch"), impostors, 6),
        (&refused("unauthenticated"), unknown, 3),
        (&refused("invalid_node"), unreadable, 2),
    ] {
        let sample = format!("\n{metric} {count}\n");
        assert!(
            count >= least && text.contains(&sample),
            "{sample} in {text}"
        );
    }
    running.shutdown.cancel();
}

#[tokio::test]
async fn whose_identity_is_not_checked_gets_no_secret_of_anyone() {
    for access in [
        Access::Anonymous,
        Access::Unchecked(Arc::new(ByToken) as Arc<dyn Authenticate>),
    ] {
        let mut running = running(access).await;
        for claims in [("shop", "edge"), ("bank", "edge")] {
            let attempt = Attempt { claims, ..HONEST };
            let outcome = attempt.made(&mut running).await;
            assert_eq!(outcome, Outcome::Given(Vec::new()), "{claims:?}");
        }
        let text = render(&running.registry);
        assert!(
            text.contains("\npilot_sds_certificate_errors_total 2\n"),
            "{text}"
        );
        running.shutdown.cancel();
    }
}
