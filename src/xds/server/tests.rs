//! Real streams over loopback: who is let in, what they see, and that they end.

mod clients;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::SpiffeId;
use futures::stream;
use proto::ads;
use proto::codec::type_url::{CLUSTER, SECRET};
use proto::envoy::config::core::v3::Node as WireNode;
use proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use serve::Shutdown;
use serve::authenticate::{Authenticate, Credentials, Identity, Refusal, Right};
use serve::http::{Limits, Transport, serve};
use serve::metrics::{registry, render};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::{Access, Server};
use crate::{Connections, Debug, Metrics, Push, Resource, Resources};

const SOON: Duration = Duration::from_secs(10);

/// Takes the header for the service account in namespace `shop`.
struct ByName;

#[tonic::async_trait]
impl Authenticate for ByName {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Identity, Refusal> {
        let account = credentials.authorization.ok_or(Refusal::NoCredentials)?;
        Ok(Identity {
            spiffe: SpiffeId {
                trust_domain: "cluster.local".to_owned(),
                namespace: "shop".to_owned(),
                service_account: account.to_owned(),
            },
        })
    }

    async fn may_read_secrets(&self, caller: &Identity) -> Option<Right> {
        let given = caller.spiffe.service_account != "stranger";
        Some(Right {
            given,
            until: Instant::now() + SOON,
        })
    }
}

/// Who may not read secrets when first asked, and may from then on.
#[derive(Default)]
struct Later(AtomicBool);

#[tonic::async_trait]
impl Authenticate for Later {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Identity, Refusal> {
        ByName.authenticate(credentials).await
    }

    async fn may_read_secrets(&self, _: &Identity) -> Option<Right> {
        let given = self.0.swap(true, Ordering::Relaxed);
        let until = Instant::now() + Duration::from_millis(if given { 60_000 } else { 1 });
        Some(Right { given, until })
    }
}

struct Running {
    client: AggregatedDiscoveryServiceClient<Channel>,
    resources: watch::Sender<Arc<Resources>>,
    debug: Debug,
    registry: serve::metrics::Registry,
    shutdown: Shutdown,
}

fn resources(content: &'static str) -> Arc<Resources> {
    let mut resources = Resources::default();
    resources.insert(
        CLUSTER,
        Resource::new(CLUSTER, "a", content.as_bytes(), Vec::new()),
    );
    resources.insert(SECRET, Resource::new(SECRET, "tls", b"key", Vec::new()));
    Arc::new(resources)
}

async fn running(access: Access) -> Running {
    let (sender, receiver) = watch::channel(resources("1"));
    let debug = Debug {
        connections: Connections::default(),
        meshes: watch::channel(None).1,
        worlds: watch::channel(None).1,
        authenticate: None,
        system_namespace: "shop".to_owned(),
        cluster: "c1".to_owned(),
        written: Arc::new(crate::Written::default),
    };
    let mut registry = registry("pilot");
    let shutdown = Shutdown::new();
    let server = Server {
        access,
        control_plane: "istiod-1".to_owned(),
        push: Push::same(receiver),
        metrics: Metrics::register(&mut registry),
        debug: debug.clone(),
        shutdown: shutdown.clone(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    let router = ads::routes(Arc::new(server), 4096).into_axum_router();
    let limits = Limits {
        grace: Duration::from_millis(200),
        ..Limits::default()
    };
    tokio::spawn(serve(
        listener,
        Transport::Plaintext,
        router,
        limits,
        shutdown.clone(),
    ));
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
    Running {
        client: AggregatedDiscoveryServiceClient::new(endpoint.connect_lazy()),
        resources: sender,
        debug,
        registry,
        shutdown,
    }
}

fn first(type_url: &str, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some(WireNode {
            id: "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local".to_owned(),
            ..Default::default()
        }),
        type_url: type_url.to_owned(),
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

/// Opens a stream that sends `requests` and then stays open.
async fn open(
    running: &mut Running,
    authorization: Option<&'static str>,
    requests: Vec<DeltaDiscoveryRequest>,
) -> Result<
    (
        mpsc::Sender<DeltaDiscoveryRequest>,
        Streaming<DeltaDiscoveryResponse>,
    ),
    Status,
> {
    let (sender, receiver) = mpsc::channel(16);
    for request in requests {
        sender.send(request).await.expect("room");
    }
    let requests = stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?, receiver))
    });
    let mut request = Request::new(requests);
    if let Some(value) = authorization {
        let value = value.parse().expect("ASCII");
        request.metadata_mut().insert("authorization", value);
    }
    let response = running.client.delta_aggregated_resources(request).await?;
    Ok((sender, response.into_inner()))
}

async fn next(
    stream: &mut Streaming<DeltaDiscoveryResponse>,
) -> Result<DeltaDiscoveryResponse, Status> {
    let message = timeout(SOON, stream.message()).await.expect("in time");
    message.map(|response| response.expect("not the end"))
}

#[tokio::test]
async fn a_recognised_proxy_gets_resources_and_their_changes() {
    let mut running = running(Access::Authenticated(Arc::new(ByName))).await;
    let (sender, mut stream) = open(&mut running, Some("web"), vec![first(CLUSTER, &[])])
        .await
        .expect("let in");
    let response = next(&mut stream).await.expect("an answer");
    assert_eq!(response.resources[0].name, "a");
    assert_eq!(
        response.control_plane.expect("named").identifier,
        "istiod-1"
    );
    let ack = DeltaDiscoveryRequest {
        type_url: CLUSTER.to_owned(),
        response_nonce: response.nonce,
        ..Default::default()
    };
    sender.send(ack).await.expect("open");
    running.resources.send_replace(resources("2"));
    let pushed = next(&mut stream).await.expect("a push");
    assert_eq!(
        pushed.resources[0].version,
        Resource::new("", "", b"2", Vec::new()).version_text()
    );
    let text = render(&running.registry);
    assert!(
        text.contains("pilot_xds{version=\"unknown\"} 1\n"),
        "{text}"
    );
    assert!(
        text.contains("pilot_xds_pushes{type=\"cds\"} 2\n"),
        "{text}"
    );
    running.shutdown.cancel();
}

#[tokio::test]
async fn callers_without_credentials_are_refused_and_not_told_why() {
    let mut running = running(Access::Authenticated(Arc::new(ByName))).await;
    let opened = open(&mut running, None, vec![first(CLUSTER, &[])]).await;
    let status = opened.expect_err("refused");
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unauthenticated, "authentication failure")
    );
    running.shutdown.cancel();
}

#[tokio::test]
async fn a_proxy_cannot_claim_to_be_another() {
    let mut running = running(Access::Authenticated(Arc::new(ByName))).await;
    let mut claims = first(CLUSTER, &[]);
    claims.node = Some(WireNode {
        id: "sidecar~10.0.0.1~web-1.bank~bank.svc.cluster.local".to_owned(),
        ..Default::default()
    });
    let (_sender, mut stream) = open(&mut running, Some("web"), vec![claims])
        .await
        .expect("the stream opens before the claim is read");
    let status = next(&mut stream).await.expect_err("refused");
    assert_eq!(status.code(), Code::PermissionDenied);
    let text = render(&running.registry);
    assert!(
        text.contains("\npilot_xds_identity_mismatches 1\n"),
        "{text}"
    );
    running.shutdown.cancel();
}

#[tokio::test]
async fn whose_claims_are_not_checked_gets_no_secrets() {
    let mut running = running(Access::Unchecked(Arc::new(ByName))).await;
    assert!(open(&mut running, None, vec![]).await.is_err(), "no caller");
    let (_sender, mut stream) = open(&mut running, Some("web"), vec![first(SECRET, &["tls"])])
        .await
        .expect("open");
    let response = next(&mut stream).await.expect("a response");
    assert!(response.resources.is_empty(), "{response:?}");
    running.shutdown.cancel();
}

#[tokio::test]
async fn a_first_request_without_a_node_is_refused() {
    let mut running = running(Access::Anonymous).await;
    let mut nameless = first(CLUSTER, &[]);
    nameless.node = None;
    let (_sender, mut stream) = open(&mut running, None, vec![nameless])
        .await
        .expect("open");
    let status = next(&mut stream).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    running.shutdown.cancel();
}

#[tokio::test]
async fn secrets_are_for_recognised_proxies_only() {
    let mut anonymous = running(Access::Anonymous).await;
    let asks = vec![first(SECRET, &["tls"])];
    let (sender, mut stream) = open(&mut anonymous, None, asks.clone())
        .await
        .expect("open");
    let response = next(&mut stream).await.expect("an answer");
    assert!(response.resources.is_empty());
    assert_eq!(response.removed_resources, ["tls"]);
    // Nor with a later change: the next response is about what is asked next.
    let ack = DeltaDiscoveryRequest {
        type_url: SECRET.to_owned(),
        response_nonce: response.nonce,
        ..Default::default()
    };
    sender.send(ack).await.expect("open");
    let mut changed = (*resources("2")).clone();
    changed.insert(
        SECRET,
        Resource::new(SECRET, "tls", b"another key", Vec::new()),
    );
    anonymous.resources.send_replace(Arc::new(changed));
    sender.send(first(CLUSTER, &[])).await.expect("open");
    let response = next(&mut stream).await.expect("an answer");
    assert_eq!(response.type_url, CLUSTER);

    let mut recognised = running(Access::Authenticated(Arc::new(ByName))).await;
    let (_sender, mut stream) = open(&mut recognised, Some("web"), asks)
        .await
        .expect("open");
    let response = next(&mut stream).await.expect("an answer");
    assert_eq!(response.resources.len(), 1);
    anonymous.shutdown.cancel();
    recognised.shutdown.cancel();
}

#[tokio::test]
async fn whose_account_may_not_read_secrets_gets_authorities_only() {
    let mut running = running(Access::Authenticated(Arc::new(ByName))).await;
    let mut with_roots = (*resources("1")).clone();
    let roots = Resource::new(SECRET, "tls-cacert", b"roots", Vec::new());
    with_roots.insert(SECRET, roots);
    running.resources.send_replace(Arc::new(with_roots));
    for (account, expected) in [("web", 2), ("stranger", 1)] {
        let asks = vec![first(SECRET, &["tls", "tls-cacert"])];
        let (_sender, mut stream) = open(&mut running, Some(account), asks).await.expect("open");
        let response = next(&mut stream).await.expect("an answer");
        assert_eq!(response.resources.len(), expected, "{account}");
        let roots = response
            .resources
            .iter()
            .any(|found| found.name == "tls-cacert");
        assert!(roots, "{response:?}");
    }
    running.shutdown.cancel();
}

#[tokio::test]
async fn a_right_that_comes_later_counts_without_another_change() {
    let mut running = running(Access::Authenticated(Arc::new(Later::default()))).await;
    let asks = vec![first(SECRET, &["tls"])];
    let (sender, mut stream) = open(&mut running, Some("web"), asks).await.expect("open");
    let mut names = Vec::new();
    while names.is_empty() {
        let response = next(&mut stream).await.expect("an answer");
        names.extend(response.resources.into_iter().map(|found| found.name));
        // Nothing follows an answer that was not acknowledged.
        let ack = DeltaDiscoveryRequest {
            type_url: SECRET.to_owned(),
            response_nonce: response.nonce,
            ..Default::default()
        };
        sender.send(ack).await.expect("open");
    }
    assert_eq!(names, ["tls"]);
    running.shutdown.cancel();
}

#[tokio::test]
async fn a_question_is_answered_without_deriving_anything() {
    let mut running = running(Access::Authenticated(Arc::new(ByName))).await;
    let (sender, mut stream) = open(&mut running, Some("web"), vec![first(CLUSTER, &[])])
        .await
        .expect("let in");
    let response = next(&mut stream).await.expect("an answer");
    let ack = DeltaDiscoveryRequest {
        type_url: CLUSTER.to_owned(),
        response_nonce: response.nonce,
        ..Default::default()
    };
    sender.send(ack).await.expect("open");
    // The ACK was heard once the next request is answered.
    sender.send(first(SECRET, &["tls"])).await.expect("open");
    next(&mut stream).await.expect("an answer");

    let asks = vec![first("istio.io/debug", &["syncz"])];
    let (asking, mut answers) = open(&mut running, Some("tool"), asks)
        .await
        .expect("let in");
    let answer = next(&mut answers).await.expect("an answer");
    assert_eq!(answer.type_url, "istio.io/debug");
    let resource = answer.resources[0].resource.as_ref().expect("one");
    let found: serde_json::Value = serde_json::from_slice(&resource.value).expect("JSON");
    assert_eq!(found[0]["proxy"], "web-1.shop");
    assert_eq!(found[0]["cluster_sent"], "1");
    assert_eq!(found[0]["cluster_acked"], "1");
    assert_eq!(
        found.as_array().map(Vec::len),
        Some(1),
        "who asks is no proxy"
    );

    drop((sender, stream, asking, answers));
    timeout(SOON, async {
        while !running.debug.connections.all().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the entry goes with the stream");
    running.shutdown.cancel();
}

#[tokio::test]
async fn a_question_with_a_nonce_of_the_askers_own_is_answered() {
    let mut running = running(Access::Authenticated(Arc::new(ByName))).await;
    let mut ask = first("istio.io/debug/syncz", &[]);
    ask.response_nonce = "2026-11-22 03:21:39 +0000 UTC m=+0.2".to_owned();
    let (sender, mut stream) = open(&mut running, Some("tool"), vec![ask.clone()])
        .await
        .expect("let in");
    let answer = next(&mut stream).await.expect("an answer");
    assert_eq!(answer.type_url, "istio.io/debug/syncz");
    // An acknowledgement is no question; what comes after it is answered.
    let mut ack = ask.clone();
    ack.response_nonce = answer.nonce;
    sender.send(ack).await.expect("open");
    ask.type_url = "istio.io/debug/config_dump".to_owned();
    sender.send(ask).await.expect("open");
    let answer = next(&mut stream).await.expect("an answer");
    assert_eq!(answer.type_url, "istio.io/debug/config_dump");
    running.shutdown.cancel();
}

#[tokio::test]
async fn the_plaintext_port_answers_no_questions() {
    let mut running = running(Access::Anonymous).await;
    let asks = vec![first("istio.io/debug/syncz", &[])];
    let (_sender, mut stream) = open(&mut running, None, asks).await.expect("open");
    let status = next(&mut stream).await.expect_err("refused");
    assert_eq!(status.code(), Code::Unauthenticated);
    running.shutdown.cancel();
}

#[tokio::test]
async fn shutdown_ends_open_streams() {
    let mut running = running(Access::Anonymous).await;
    let (_sender, mut stream) = open(&mut running, None, vec![first(CLUSTER, &[])])
        .await
        .expect("open");
    next(&mut stream).await.expect("an answer");
    running.shutdown.cancel();
    let status = next(&mut stream).await.expect_err("ended");
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn oversized_requests_end_the_stream() {
    let mut running = running(Access::Anonymous).await;
    let long = "x".repeat(10_000);
    let (_sender, mut stream) = open(&mut running, None, vec![first(CLUSTER, &[&long])])
        .await
        .expect("open");
    let ended = timeout(SOON, stream.message()).await.expect("in time");
    assert!(matches!(ended, Ok(None) | Err(_)), "{ended:?}");
    running.shutdown.cancel();
}

fn object(name: &str) -> base::ObjectRef {
    base::ObjectRef {
        api_version: "networking.istio.io/v1".to_owned(),
        kind: "DestinationRule".to_owned(),
        namespace: Some("shop".to_owned()),
        name: name.to_owned(),
    }
}

/// Clusters, each made from the object of its name.
fn clusters(of: &[(&str, &str)]) -> Arc<Resources> {
    let mut resources = Resources::default();
    for (name, content) in of {
        let made = Resource::new(
            CLUSTER,
            *name,
            content.as_bytes(),
            vec![object(name).into()],
        );
        resources.insert(CLUSTER, made);
    }
    Arc::new(resources)
}

/// What a proxy answers to a response: that it takes it, or why not.
fn answer(response: &DeltaDiscoveryResponse, error: Option<&str>) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        error_detail: error.map(|message| proto::google::rpc::Status {
            code: 13,
            message: message.to_owned(),
            details: Vec::new(),
        }),
        ..Default::default()
    }
}

fn names(response: &DeltaDiscoveryResponse) -> Vec<&str> {
    let resources = response.resources.iter();
    resources.map(|resource| resource.name.as_str()).collect()
}

#[tokio::test]
async fn a_proxy_that_refuses_blames_one_object_and_hinders_nobody() {
    let mut running = running(Access::Anonymous).await;
    running
        .resources
        .send_replace(clusters(&[("a", "1"), ("b", "1")]));
    let mut refused = running.debug.connections.refused();
    let blamed = |refused: &crate::Refused| {
        let refusals = refused.values().flat_map(|of_stream| of_stream.iter());
        crate::blame::blame(refusals)
    };
    let asks = || vec![first(CLUSTER, &[])];
    let (says, mut hostile) = open(&mut running, None, asks()).await.expect("open");
    let (agrees, mut good) = open(&mut running, None, asks()).await.expect("open");
    let response = next(&mut hostile).await.expect("an answer");
    says.send(answer(&response, None)).await.expect("open");
    let response = next(&mut good).await.expect("an answer");
    agrees.send(answer(&response, None)).await.expect("open");

    // One bad change among others: the proxy says which.
    running
        .resources
        .send_replace(clusters(&[("a", "2"), ("b", "bad")]));
    let response = next(&mut hostile).await.expect("a push");
    let words = "Error adding/updating cluster(s) b: no";
    says.send(answer(&response, Some(words)))
        .await
        .expect("open");
    let found = timeout(SOON, refused.wait_for(|refused| !refused.is_empty()));
    let found = blamed(&found.await.expect("in time").expect("open"));
    assert_eq!(found.keys().collect::<Vec<_>>(), [&object("b")]);
    assert!(found[&object("b")].ends_with(words), "{found:?}");

    // Others are served as ever, and so is who refused.
    let response = next(&mut good).await.expect("a push");
    assert_eq!(names(&response), ["a", "b"]);
    agrees.send(answer(&response, None)).await.expect("open");
    running
        .resources
        .send_replace(clusters(&[("a", "3"), ("b", "bad")]));
    let response = next(&mut good).await.expect("a push");
    assert_eq!(names(&response), ["a"]);
    let response = next(&mut hostile).await.expect("a push");
    assert_eq!(names(&response), ["a"]);
    // Taking something else does not make the refused one good.
    says.send(answer(&response, None)).await.expect("open");
    running
        .resources
        .send_replace(clusters(&[("a", "3"), ("b", "good")]));
    let response = next(&mut hostile).await.expect("a push");
    assert_eq!(names(&response), ["b"]);
    assert_eq!(blamed(&refused.borrow()).len(), 1);
    says.send(answer(&response, None)).await.expect("open");
    let cleared = timeout(SOON, refused.wait_for(|refused| refused.is_empty()));
    cleared.await.expect("in time").expect("open");
    running.shutdown.cancel();
}

#[tokio::test]
async fn blame_ends_with_the_stream_that_refused() {
    let mut running = running(Access::Anonymous).await;
    let mut refused = running.debug.connections.refused();
    let asks = vec![first(CLUSTER, &[])];
    let (says, mut stream) = open(&mut running, None, asks).await.expect("open");
    let response = next(&mut stream).await.expect("an answer");
    says.send(answer(&response, Some("no")))
        .await
        .expect("open");
    let found = timeout(SOON, refused.wait_for(|refused| !refused.is_empty()));
    found.await.expect("in time").expect("open");
    drop((says, stream));
    let cleared = timeout(SOON, refused.wait_for(|refused| refused.is_empty()));
    cleared.await.expect("in time").expect("open");
    running.shutdown.cancel();
}
