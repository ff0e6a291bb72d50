//! The certificate service's metrics, under upstream's names.

use std::fmt;
use std::sync::Arc;

use pki::OffsetDateTime;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::Root;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Error {
    error: &'static str,
}

/// Cloneable; all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(crate) requests: Counter,
    pub(crate) unauthenticated: Counter,
    pub(crate) unreadable: Counter,
    pub(crate) unidentified: Counter,
    pub(crate) issued: Counter,
    failed: Family<Error, Counter>,
}

impl Metrics {
    /// Registers all of them; how long the CA lives is computed from `root` when it is asked for.
    pub fn register(registry: &mut Registry, root: watch::Receiver<Option<Arc<Root>>>) -> Metrics {
        let metrics = Metrics::default();
        let counters = [
            ("csr_count", "Signing requests received", &metrics.requests),
            (
                "authentication_failure_count",
                "Callers that could not prove who they are",
                &metrics.unauthenticated,
            ),
            (
                "csr_parsing_err_count",
                "Signing requests that could not be read",
                &metrics.unreadable,
            ),
            (
                "id_extraction_err_count",
                "Callers without an identity to certify",
                &metrics.unidentified,
            ),
            (
                "success_cert_issuance_count",
                "Certificates issued",
                &metrics.issued,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(format!("citadel_server_{name}"), help, counter.clone());
        }
        registry.register(
            "citadel_server_csr_sign_err_count",
            "Signing requests that were refused or failed",
            metrics.failed.clone(),
        );
        registry.register_collector(Box::new(Expiry(root)));
        metrics
    }

    pub(crate) fn failed(&self, error: &'static str) {
        self.failed.get_or_create(&Error { error }).inc();
    }
}

/// Ends of the CA's certificates.
#[derive(Debug)]
struct Expiry(watch::Receiver<Option<Arc<Root>>>);

impl Expiry {
    /// The first root to end and the first certificate of the chain, signer included.
    fn ends(&self) -> Option<(OffsetDateTime, OffsetDateTime)> {
        let root = self.0.borrow().clone()?;
        let first = root.roots().iter().map(|root| root.not_after).min()?;
        let signer = root.signer().certificate().not_after;
        let chain = root.intermediates().map(|link| link.not_after).min();
        Some((first, chain.map_or(signer, |chain| chain.min(signer))))
    }
}

impl Collector for Expiry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some((root, chain)) = self.ends() else {
            return Ok(());
        };
        let now = OffsetDateTime::now_utc();
        for (what, end) in [("root_cert", root), ("cert_chain", chain)] {
            for (kind, value) in [
                ("timestamp", end.unix_timestamp()),
                ("seconds", (end - now).whole_seconds()),
            ] {
                let name = format!("citadel_server_{what}_expiry_{kind}");
                let metric = encoder.encode_descriptor(
                    &name,
                    "When the CA ends: as Unix time, or in how many seconds",
                    None,
                    MetricType::Gauge,
                )?;
                ConstGauge::new(value).encode(metric)?;
            }
        }
        Ok(())
    }
}
