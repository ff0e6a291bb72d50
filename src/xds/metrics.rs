//! The push engine's metrics, under upstream's names.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use proto::codec::type_url;

/// Versions of proxies that metrics tell apart.
const MOST_VERSIONS: usize = 50;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfVersion {
    version: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfType {
    r#type: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// Why a stream is refused before it is sent anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Nobody knows who calls.
    Unauthenticated,
    /// Nobody can tell at the moment who calls.
    Unavailable,
    /// What it says of itself cannot be read.
    InvalidNode,
    /// It says that it is another than who calls.
    IdentityMismatch,
}

/// Upper bounds of times, in seconds, and of sizes, in bytes; as upstream.
const PUSH_TIMES: [f64; 8] = [0.01, 0.1, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0];
const CONVERGENCE_TIMES: [f64; 8] = [0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0];
const SIZES: [f64; 6] = [1.0, 1e4, 1e6, 4e6, 1e7, 4e7];

/// Cloneable; all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    connected: Family<OfVersion, Gauge>,
    versions: Arc<Mutex<BTreeSet<String>>>,
    pushes: Family<OfType, Counter>,
    rejects: Family<OfType, Counter>,
    stale: Family<OfType, Counter>,
    impostors: Counter,
    refused: Family<Why, Counter>,
    /// By type: of those that upstream counts apart as well.
    rejects_apart: [(&'static str, Counter); 4],
    push_times: Family<OfType, Histogram>,
    sizes: Family<OfType, Histogram>,
    convergence: Histogram,
    withheld: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            connected: Family::default(),
            versions: Arc::default(),
            pushes: Family::default(),
            rejects: Family::default(),
            stale: Family::default(),
            impostors: Counter::default(),
            refused: Family::default(),
            rejects_apart: ["cds", "eds", "lds", "rds"].map(|short| (short, Counter::default())),
            push_times: Family::new_with_constructor(|| Histogram::new(PUSH_TIMES)),
            sizes: Family::new_with_constructor(|| Histogram::new(SIZES)),
            convergence: Histogram::new(CONVERGENCE_TIMES),
            withheld: Counter::default(),
        }
    }
}

/// Counts one proxy as connected until it is dropped.
#[derive(Debug)]
pub struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        registry.register(
            "pilot_xds",
            "Number of endpoints connected to this pilot using XDS",
            metrics.connected.clone(),
        );
        registry.register(
            "pilot_xds_pushes",
            "Pilot build and send for each xDS type",
            metrics.pushes.clone(),
        );
        registry.register(
            "pilot_total_xds_rejects",
            "Total number of XDS responses from pilot rejected by proxy",
            metrics.rejects.clone(),
        );
        registry.register(
            "pilot_xds_expired_nonce",
            "Total number of XDS requests with an expired nonce",
            metrics.stale.clone(),
        );
        registry.register(
            "pilot_xds_identity_mismatches",
            "Streams refused because the node is of another namespace or service account than its caller",
            metrics.impostors.clone(),
        );
        registry.register(
            "pilot_xds_refused_streams",
            "Streams that were refused before anything was sent, by reason",
            metrics.refused.clone(),
        );
        for (short, counter) in &metrics.rejects_apart {
            registry.register(
                format!("pilot_xds_{short}_reject"),
                "Responses of one type that proxies refused",
                counter.clone(),
            );
        }
        registry.register(
            "pilot_xds_push_time",
            "Time in seconds to encode a response",
            metrics.push_times.clone(),
        );
        registry.register(
            "pilot_xds_config_size_bytes",
            "Sizes of the responses that were sent",
            metrics.sizes.clone(),
        );
        registry.register(
            "pilot_proxy_convergence_time",
            "Seconds between a change of the mesh or of endpoints and a proxy's being sent all that it changes",
            metrics.convergence.clone(),
        );
        registry.register(
            "pilot_sds_certificate_errors_total",
            "Requests for secrets that were answered without them: they do not exist, or are not for the caller",
            metrics.withheld.clone(),
        );
        metrics
    }

    pub(crate) fn connected(&self, version: Option<&str>) -> Connected {
        let version = self.version(version.unwrap_or("unknown")).to_owned();
        let gauge = self.connected.get_or_create_owned(&OfVersion { version });
        gauge.inc();
        Connected(gauge)
    }

    /// A version as a label: a client chooses it freely, so only so many are told apart.
    fn version<'a>(&self, version: &'a str) -> &'a str {
        let mut known = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-+_".contains(c);
        let short = version.len() <= 64 && version.chars().all(plain);
        if !known.contains(version) && (!short || known.len() >= MOST_VERSIONS) {
            return "other";
        }
        known.insert(version.to_owned());
        version
    }

    /// A response of so many bytes was sent, which took so long to encode.
    pub(crate) fn pushed(&self, type_url: &str, size: usize, took: Duration) {
        let of_type = of_type(type_url);
        self.pushes.get_or_create(&of_type).inc();
        self.sizes.get_or_create(&of_type).observe(size as f64);
        let times = self.push_times.get_or_create(&of_type);
        times.observe(took.as_secs_f64());
    }

    pub(crate) fn rejected(&self, type_url: &str) {
        self.rejects.get_or_create(&of_type(type_url)).inc();
        let apart = self.rejects_apart.iter();
        for (_, counter) in apart.filter(|(of, _)| *of == short(type_url)) {
            counter.inc();
        }
    }

    /// A proxy was sent everything that a change meant for it.
    pub(crate) fn converged(&self, after: Duration) {
        self.convergence.observe(after.as_secs_f64());
    }

    /// Secrets were asked for and not given.
    pub(crate) fn withheld(&self, secrets: usize) {
        self.withheld.inc_by(secrets as u64);
    }

    pub(crate) fn refused(&self, why: Refused) {
        let reason = match why {
            Refused::Unauthenticated => "unauthenticated",
            Refused::Unavailable => "unavailable",
            Refused::InvalidNode => "invalid_node",
            Refused::IdentityMismatch => "identity_mismatch",
        };
        self.refused.get_or_create(&Why { reason }).inc();
        if why == Refused::IdentityMismatch {
            self.impostors.inc();
        }
    }

    pub(crate) fn stale(&self, type_url: &str) {
        self.stale.get_or_create(&of_type(type_url)).inc();
    }
}

/// Upstream's short names. Others share one label: a client chooses type URLs freely and must not
/// choose how many series there are.
fn of_type(type_url: &str) -> OfType {
    OfType {
        r#type: short(type_url).to_owned(),
    }
}

/// Upstream's short name of a type.
pub(crate) fn short(type_url: &str) -> &'static str {
    match type_url {
        type_url::CLUSTER => "cds",
        type_url::ENDPOINT => "eds",
        type_url::LISTENER => "lds",
        type_url::ROUTE => "rds",
        type_url::SECRET => "sds",
        type_url::EXTENSION => "ecds",
        type_url::NAME_TABLE => "nds",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use serve::metrics::{registry, render};

    use super::Metrics;

    #[test]
    fn a_proxy_is_counted_while_it_is_connected() {
        let mut registry = registry("pilot");
        let metrics = Metrics::register(&mut registry);
        let connected = metrics.connected(Some("1.30.0"));
        let sample = |value: u32| format!("pilot_xds{{version=\"1.30.0\"}} {value}\n");
        assert!(render(&registry).contains(&sample(1)));
        drop(connected);
        assert!(render(&registry).contains(&sample(0)));
    }

    #[test]
    fn proxies_cannot_make_series_without_end() {
        let mut registry = registry("pilot");
        let metrics = Metrics::register(&mut registry);
        let _kept = metrics.connected(Some("1.30.0"));
        for number in 0..1000 {
            drop(metrics.connected(Some(&format!("1.{number}.0"))));
        }
        drop(metrics.connected(Some("\"} 1\n")));
        let text = render(&registry);
        let series = text.lines().filter(|line| line.starts_with("pilot_xds{"));
        assert!(series.count() <= super::MOST_VERSIONS + 1);
        assert!(text.contains("pilot_xds{version=\"1.30.0\"} 1\n"), "{text}");
        assert!(text.contains("pilot_xds{version=\"other\"} 0\n"), "{text}");
    }

    #[test]
    fn unknown_types_share_a_label() {
        let mut registry = registry("pilot");
        let metrics = Metrics::register(&mut registry);
        metrics.rejected("a");
        metrics.rejected("b");
        let text = render(&registry);
        assert!(
            text.contains("pilot_total_xds_rejects{type=\"other\"} 2\n"),
            "{text}"
        );
    }
}
