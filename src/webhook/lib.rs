//! Admission: the webhooks that the API server calls, and the CA bundle by which it trusts them.
//! Decides nothing about meshes itself.

pub mod ca_bundle;
mod inject;
mod metrics;
mod review;
pub mod settings;
mod validate;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

pub use inject::Injector;
pub use metrics::Metrics;

/// Largest review that is read, in bytes; as upstream.
const MAX_BODY: usize = 6 * 1024 * 1024;

/// `/inject` (and below), `/validate`, and `/ready` for those who probe this port.
pub fn router(injector: Injector) -> Router {
    Router::new()
        .route("/inject", post(inject::answer))
        .route("/inject/{*parameters}", post(inject::answer_below))
        .route("/validate", post(validate::answer))
        .route("/ready", get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(injector)
}

#[cfg(test)]
mod tests;
