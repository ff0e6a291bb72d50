//! Istio's certificate service behind a trait object, as [`ads`](crate::ads) does it for discovery.

use std::sync::Arc;

use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::ads::Caller;
use crate::google::protobuf::value::Kind;
pub use crate::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use crate::istio::v1::auth::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
pub use crate::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};

/// Issues certificates to callers.
#[tonic::async_trait]
pub trait Certificates: Send + Sync + 'static {
    /// A chain for the key in the request: the leaf first, the bundle of roots last.
    ///
    /// # Errors
    /// The status that the caller gets.
    async fn create(
        &self,
        caller: Caller,
        request: IstioCertificateRequest,
    ) -> Result<IstioCertificateResponse, Status>;
}

struct Adapter(Arc<dyn Certificates>);

#[tonic::async_trait]
impl IstioCertificateService for Adapter {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller {
            metadata,
            extensions,
        };
        self.0.create(caller, request).await.map(Response::new)
    }
}

/// Adds the service to those of a port; `max_request` is the largest request in bytes that is read.
pub fn add(routes: Routes, certificates: Arc<dyn Certificates>, max_request: usize) -> Routes {
    let server = IstioCertificateServiceServer::new(Adapter(certificates))
        .max_decoding_message_size(max_request);
    routes.add_service(server)
}

/// The text that the request's metadata has under `key`; empty and absent are the same to callers.
pub fn metadata<'a>(request: &'a IstioCertificateRequest, key: &str) -> Option<&'a str> {
    match request.metadata.as_ref()?.fields.get(key)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text)
            .filter(|text| !text.is_empty())
            .map(|text| &**text),
        _ => None,
    }
}
