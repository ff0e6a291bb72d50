//! Admission: the webhooks that the API server calls, the CA bundle by which it trusts them, and whether it may do
//! without them.
//! Decides nothing about meshes itself.

pub mod ca_bundle;
pub mod failure_policy;
mod inject;
mod metrics;
mod review;
pub mod settings;
mod validate;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

pub use inject::Injector;
pub use metrics::{Metrics, Validation};

/// Largest review that is read, in bytes; as upstream.
const MAX_BODY: usize = 6 * 1024 * 1024;

/// `/inject` (and below), `/validate`, and `/ready` for those who probe this port.
pub fn router(injector: Injector, validation: Validation) -> Router {
    let validating = Router::new()
        .route("/validate", post(validate::answer))
        .with_state(validation);
    Router::new()
        .route("/inject", post(inject::answer))
        .route("/inject/{*parameters}", post(inject::answer_below))
        .route("/ready", get(|| async { "ok\n" }))
        .with_state(injector)
        .merge(validating)
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

#[cfg(test)]
mod tests;
