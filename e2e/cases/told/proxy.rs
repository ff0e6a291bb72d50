//! A proxy that says what it is told to: takes configuration over the plaintext port of one replica, and refuses it.

use std::time::Duration;

use futures::channel::mpsc::{UnboundedSender, unbounded};
use k8s_openapi::api::core::v1::Pod;
use proto::envoy::config::core::v3::Node;
use proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use proto::google::rpc::Status;
use tonic::Streaming;
use tonic::transport::Endpoint;

const CLUSTERS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
/// For an answer of the control plane.
const SOON: Duration = Duration::from_secs(20);

/// A proxy of a namespace that takes its configuration from one replica.
pub struct Proxy {
    says: UnboundedSender<DeltaDiscoveryRequest>,
    hears: Streaming<DeltaDiscoveryResponse>,
}

impl Proxy {
    /// Asks for all clusters.
    pub async fn connect(pod: &Pod, namespace: &str) -> Result<Self, String> {
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        let address = address.ok_or("no address")?;
        let port = base::names::port::XDS_PLAINTEXT;
        let endpoint = Endpoint::from_shared(format!("http://{address}:{port}"));
        let endpoint = endpoint.map_err(|error| error.to_string())?;
        let channel = endpoint.connect_timeout(SOON).connect().await;
        let channel = channel.map_err(|error| format!("{error:?}"))?;
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let (says, requests) = unbounded();
        let node = Node {
            id: format!("sidecar~10.0.0.1~refuses.{namespace}~{namespace}.svc.cluster.local"),
            ..Node::default()
        };
        let ask = DeltaDiscoveryRequest {
            node: Some(node),
            type_url: CLUSTERS.to_owned(),
            ..DeltaDiscoveryRequest::default()
        };
        says.unbounded_send(ask).expect("open");
        let hears = client.delta_aggregated_resources(requests).await;
        let hears = hears.map_err(|status| status.to_string())?.into_inner();
        Ok(Proxy { says, hears })
    }

    pub async fn hear(&mut self) -> DeltaDiscoveryResponse {
        let next = tokio::time::timeout(SOON, self.hears.message()).await;
        let next = next.expect("in time").expect("an open stream");
        next.expect("an answer")
    }

    pub fn answer(&self, response: &DeltaDiscoveryResponse, error: Option<&str>) {
        let answer = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: error.map(|message| Status {
                code: 13,
                message: message.to_owned(),
                details: Vec::new(),
            }),
            ..DeltaDiscoveryRequest::default()
        };
        self.says.unbounded_send(answer).expect("open");
    }
}
