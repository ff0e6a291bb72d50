//! What authentication counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Refusal;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Cloneable; all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    refusals: Family<Reason, Counter>,
    /// Tokens that the API server was asked about.
    pub(super) reviews: Counter,
    /// Tokens whose verdict was still known, or was being asked for by another request.
    pub(super) remembered: Counter,
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        registry.register(
            "pilot_authentication_failures",
            "Callers of xDS and of the CA that were refused, by reason",
            metrics.refusals.clone(),
        );
        registry.register(
            "pilot_token_reviews",
            "TokenReviews asked of the API server",
            metrics.reviews.clone(),
        );
        registry.register(
            "pilot_token_reviews_remembered",
            "Tokens that were recognised without another TokenReview",
            metrics.remembered.clone(),
        );
        metrics
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        let reason = refusal.label();
        self.refusals.get_or_create(&Reason { reason }).inc();
    }
}
