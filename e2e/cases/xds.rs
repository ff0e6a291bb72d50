//! istiod serves its configuration over TLS of its own CA, to callers that prove who they are.

use e2e::{cluster, eventually::eventually, mesh};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, Service, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use proto::envoy::config::core::v3::Node;
use proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

const CLUSTERS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

/// A connection to istiod's Service that trusts only the root in istio-ca-secret.
async fn connect(client: &Client) -> Channel {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    let secret = secrets
        .get(base::names::CA_SECRET)
        .await
        .expect("the CA's secret");
    let root = Certificate::from_pem(&secret.data.expect("data")["root-cert.pem"].0);
    let services: Api<Service> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    let service = services.get("istiod").await.expect("Service istiod");
    let address = service
        .spec
        .and_then(|spec| spec.cluster_ip)
        .expect("a cluster IP");
    let tls = ClientTlsConfig::new()
        .ca_certificate(root)
        .domain_name("istiod.istio-system.svc");
    let endpoint = Endpoint::from_shared(format!("https://{address}:{}", base::names::port::XDS))
        .expect("an address")
        .connect_timeout(std::time::Duration::from_secs(3))
        .tls_config(tls)
        .expect("a TLS configuration");
    let (channel, _) = eventually(client, "a TLS connection to istiod", 20, || async {
        endpoint
            .connect()
            .await
            .map_err(|error| format!("{error:?}"))
    })
    .await;
    channel
}

/// A token of the ingress gateway's service account for the given audience.
async fn token(client: &Client, audience: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(
            "istio-ingressgateway-service-account",
            &PostParams::default(),
            &request,
        )
        .await
        .expect("a token");
    answer.status.expect("a status").token
}

/// Opens a delta stream as a gateway would and returns the first answer to a CDS request.
async fn first_answer(
    channel: Channel,
    authorization: Option<&str>,
) -> Result<DeltaDiscoveryResponse, Status> {
    let node = Node {
        id: "router~10.0.0.1~e2e.istio-system~istio-system.svc.cluster.local".into(),
        ..Node::default()
    };
    let ask = DeltaDiscoveryRequest {
        node: Some(node),
        type_url: CLUSTERS.into(),
        ..DeltaDiscoveryRequest::default()
    };
    // The stream stays open after the request: an Envoy never half-closes it.
    let requests = tokio_stream::StreamExt::chain(tokio_stream::once(ask), tokio_stream::pending());
    let mut request = Request::new(requests);
    if let Some(value) = authorization {
        request
            .metadata_mut()
            .insert("authorization", value.parse().expect("a header value"));
    }
    let mut ads = AggregatedDiscoveryServiceClient::new(channel);
    let exchange = async {
        let mut answers = ads.delta_aggregated_resources(request).await?.into_inner();
        answers
            .message()
            .await?
            .ok_or_else(|| Status::aborted("the stream ended without an answer"))
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), exchange)
        .await
        .expect("an answer within 10 s")
}

#[tokio::test]
async fn a_caller_with_a_token_for_istio_ca_is_served() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let bearer = format!(
        "Bearer {}",
        token(&client, base::names::TOKEN_AUDIENCE).await
    );
    let answer = first_answer(connect(&client).await, Some(&bearer))
        .await
        .expect("an answer");
    assert_eq!(answer.type_url, CLUSTERS);
    assert!(!answer.nonce.is_empty());
}

#[tokio::test]
async fn a_caller_without_a_valid_token_is_refused() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let foreign = format!(
        "Bearer {}",
        token(&client, "https://elsewhere.example").await
    );
    for authorization in [None, Some("Bearer nonsense"), Some(foreign.as_str())] {
        let refusal = first_answer(connect(&client).await, authorization)
            .await
            .expect_err("a refusal");
        assert_eq!(
            refusal.code(),
            Code::Unauthenticated,
            "{authorization:?}: {refusal}"
        );
    }
}
