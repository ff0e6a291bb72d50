//! `/inject`: this version has no sidecar injection and says so, rather than let a pod start outside of the mesh
//! that asked to be in it.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use tracing::info;

use crate::review::{Malformed, Review, Verdict};

const REFUSAL: &str = "this version of Ferrosail does not inject sidecars: remove the injection label \
    (istio-injection or istio.io/rev) from the namespace or pod, or label the pod sidecar.istio.io/inject=false";

pub async fn answer(headers: HeaderMap, body: Bytes) -> Result<Response, Malformed> {
    let review = Review::read(&headers, &body)?;
    let request = &review.request;
    info!(
        namespace = request.namespace,
        pod = pod(request),
        "pod refused: no sidecar injection"
    );
    Ok(review.answer(&Verdict::Denied(REFUSAL.to_owned())))
}

/// The pod's name, or the prefix from which it is still to be generated.
fn pod(request: &crate::review::Request) -> &str {
    let generated = request.object.pointer("/metadata/generateName");
    match request.name.as_str() {
        "" => generated.and_then(|name| name.as_str()).unwrap_or_default(),
        name => name,
    }
}
