//! The aggregated discovery service behind a trait object.
//! tonic's stubs are instantiated here once, for [`Adapter`] only; who implements [`Discovery`] links no codec.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use crate::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};

/// What one side of a stream sends, until its last item.
pub type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The connection that a stream came over: extensions of its HTTP request and the authorization header.
pub struct Caller {
    /// gRPC metadata of the request.
    pub metadata: tonic::metadata::MetadataMap,
    /// What the listener put beside the request: peer address, client certificates.
    pub extensions: tonic::Extensions,
}

/// Both variants of the aggregated discovery service.
#[tonic::async_trait]
pub trait Discovery: Send + Sync + 'static {
    /// State of the world: each response carries every resource of its type.
    ///
    /// # Errors
    /// The status with which the stream is refused.
    async fn stream(
        &self,
        caller: Caller,
        requests: Messages<DiscoveryRequest>,
    ) -> Result<Messages<DiscoveryResponse>, Status>;

    /// Incremental: each response carries what changed.
    ///
    /// # Errors
    /// The status with which the stream is refused.
    async fn delta(
        &self,
        caller: Caller,
        requests: Messages<DeltaDiscoveryRequest>,
    ) -> Result<Messages<DeltaDiscoveryResponse>, Status>;
}

struct Adapter(Arc<dyn Discovery>);

fn open<T: Send + 'static>(request: Request<Streaming<T>>) -> (Caller, Messages<T>) {
    let (metadata, extensions, requests) = request.into_parts();
    let caller = Caller {
        metadata,
        extensions,
    };
    (caller, Box::pin(requests))
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Adapter {
    type StreamAggregatedResourcesStream = Messages<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Messages<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let (caller, requests) = open(request);
        self.0.stream(caller, requests).await.map(Response::new)
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (caller, requests) = open(request);
        self.0.delta(caller, requests).await.map(Response::new)
    }
}

/// The service as routes; `max_request` is the largest request in bytes that is read.
pub fn routes(discovery: Arc<dyn Discovery>, max_request: usize) -> Routes {
    let server = AggregatedDiscoveryServiceServer::new(Adapter(discovery))
        .max_decoding_message_size(max_request);
    Routes::new(server)
}
