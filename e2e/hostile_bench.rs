//! Proxies that cost a control plane the most, for measurements beside well-behaved ones: half refuse every response,
//! half ask for everything and never read. Says when all are connected, then how much was refused, until it is ended.
//!
//! `hostile ADDRESS COUNT NAMESPACES`, over plaintext; `e2e/load/measure.sh hostile` runs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proto::envoy::config::core::v3::Node;
use proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use proto::google::protobuf::{Struct, Value, value::Kind};
use proto::google::rpc;
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::transport::Endpoint;

/// What is asked for: everything, and by name what changes during the measurement.
const ASKED: [(&str, &[&str]); 4] = [
    ("envoy.config.cluster.v3.Cluster", &[]),
    ("envoy.config.listener.v3.Listener", &[]),
    ("envoy.config.route.v3.RouteConfiguration", &["80"]),
    (
        "envoy.config.endpoint.v3.ClusterLoadAssignment",
        &["outbound|80||svc-0.ns-0.svc.cluster.local"],
    ),
];
/// Between two words about what was refused.
const PACE: Duration = Duration::from_secs(1);

/// A stream on which everything is asked for.
struct Opened {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

fn node(number: usize, namespace: &str) -> Node {
    let text = |text: &str| Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let metadata = Struct {
        fields: [
            ("NAMESPACE", namespace),
            ("CLUSTER_ID", "Kubernetes"),
            ("ISTIO_VERSION", "1.32.0"),
        ]
        .map(|(key, value)| (key.to_owned(), text(value)))
        .into(),
    };
    let (high, low) = (number / 250, number % 250 + 1);
    Node {
        id: format!(
            "sidecar~10.202.{high}.{low}~hostile-{number}.{namespace}~{namespace}.svc.cluster.local"
        ),
        metadata: Some(metadata),
        ..Node::default()
    }
}

async fn open(address: &str, number: usize, namespace: &str) -> Result<Opened, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|error| format!("{address}: {error}"))?;
    let channel = endpoint.connect().await;
    let channel = channel.map_err(|error| format!("{address}: {error}"))?;
    let (requests, receiver) = mpsc::channel(64);
    for (place, (name, names)) in ASKED.into_iter().enumerate() {
        let asks = DeltaDiscoveryRequest {
            node: (place == 0).then(|| node(number, namespace)),
            type_url: format!("type.googleapis.com/{name}"),
            resource_names_subscribe: names.iter().map(|&name| name.to_owned()).collect(),
            ..Default::default()
        };
        let sent = requests.send(asks).await;
        sent.map_err(|_| "the stream ended at once".to_owned())?;
    }
    let requested = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let responses = AggregatedDiscoveryServiceClient::new(channel)
        .max_decoding_message_size(usize::MAX)
        .delta_aggregated_resources(requested)
        .await
        .map_err(|status| status.to_string())?
        .into_inner();
    Ok(Opened {
        requests,
        responses,
    })
}

/// Refuses whatever comes, until the stream ends.
async fn refuse(mut stream: Opened, refused: &AtomicUsize) -> Result<(), String> {
    while let Some(response) = stream
        .responses
        .message()
        .await
        .map_err(|status| status.to_string())?
    {
        let answer = DeltaDiscoveryRequest {
            type_url: response.type_url,
            response_nonce: response.nonce,
            error_detail: Some(rpc::Status {
                code: 13,
                message: "refused, as everything is".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        if stream.requests.send(answer).await.is_err() {
            break;
        }
        refused.fetch_add(1, Ordering::Relaxed);
    }
    Err("a stream ended".to_owned())
}

#[tokio::main]
async fn main() -> Result<(), String> {
    let usage = "usage: hostile ADDRESS COUNT NAMESPACES";
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        // Cargo says to benchmarks that they are such.
        .filter(|argument| argument != "--bench")
        .collect();
    let [address, count, namespaces] = &arguments[..] else {
        return Err(usage.to_owned());
    };
    let count: usize = count.parse().map_err(|_| usage.to_owned())?;
    let namespaces: Vec<&str> = namespaces.split(',').collect();
    let refused = Arc::new(AtomicUsize::new(0));
    let mut running = tokio::task::JoinSet::new();
    let mut deaf = Vec::new();
    for number in 0..count {
        let stream = open(address, number, namespaces[number % namespaces.len()]).await?;
        if number % 2 == 0 {
            deaf.push(stream);
        } else {
            let refused = refused.clone();
            running.spawn(async move { refuse(stream, &refused).await });
        }
    }
    println!("{} refuse, {} do not read", running.len(), deaf.len());
    loop {
        tokio::select! {
            Some(ended) = running.join_next() => {
                ended.map_err(|error| error.to_string())??;
            }
            () = tokio::time::sleep(PACE) => {
                println!("{} responses refused", refused.load(Ordering::Relaxed));
            }
        }
    }
}
