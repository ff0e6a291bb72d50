//! The agent's own counters, in upstream's names and Prometheus' text form.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts so many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the agent counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Certificates that were issued; watched by whoever acts after one.
    pub certificate_issued: watch::Sender<u64>,
    /// When the one in use ends, as Unix time; 0 while there is none.
    pub certificate_end: AtomicU64,
    /// Requests for a certificate.
    pub certificate_requests: Counter,
    /// Requests for a certificate that failed.
    pub certificate_failures: Counter,
    /// Streams that were opened to the control plane; watched by whoever acts after one.
    pub stream_opened: watch::Sender<u64>,
    /// Connections to the control plane that failed.
    pub connection_failures: Counter,
    /// Streams that the control plane, or the way to it, broke.
    pub control_plane_terminations: Counter,
    /// Streams that Envoy ended.
    pub envoy_terminations: Counter,
    /// Scrapes that the application did not answer.
    pub application_failures: Counter,
}

impl Metrics {
    /// All of them, as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let counters = [
            (
                "xds_proxy_streams",
                "streams opened to the control plane",
                *self.stream_opened.borrow(),
            ),
            (
                "istiod_connection_failures",
                "connections to the control plane that failed",
                self.connection_failures.value(),
            ),
            (
                "istiod_connection_terminations",
                "streams that the control plane or the way to it broke",
                self.control_plane_terminations.value(),
            ),
            (
                "envoy_connection_terminations",
                "streams that Envoy ended",
                self.envoy_terminations.value(),
            ),
        ];
        for (name, help, value) in counters {
            write!(
                text,
                "# HELP istio_agent_{name} {help}\n# TYPE istio_agent_{name} counter\nistio_agent_{name} {value}\n"
            )
            .expect("writing to a string cannot fail");
        }
        for (name, label, help, counter) in [
            (
                "num_outgoing_requests",
                "request_type=\"csr\"",
                "requests for certificates",
                &self.certificate_requests,
            ),
            (
                "num_failed_outgoing_requests",
                "request_type=\"csr\"",
                "requests for certificates that failed",
                &self.certificate_failures,
            ),
            (
                "scrape_failures_total",
                "type=\"application\"",
                "scrapes that were not answered",
                &self.application_failures,
            ),
        ] {
            let value = counter.value();
            write!(
                text,
                "# HELP istio_agent_{name} {help}\n# TYPE istio_agent_{name} counter\nistio_agent_{name}{{{label}}} {value}\n"
            )
            .expect("writing to a string cannot fail");
        }
        let end = self.certificate_end.load(Ordering::Relaxed);
        if end != 0 {
            let left = end.cast_signed() - unix_seconds(SystemTime::now()).cast_signed();
            write!(
                text,
                "# HELP istio_agent_cert_expiry_seconds seconds until the certificate in use ends\n# TYPE istio_agent_cert_expiry_seconds gauge\nistio_agent_cert_expiry_seconds{{resource_name=\"default\"}} {left}\n"
            )
            .expect("writing to a string cannot fail");
        }
        let version = env!("CARGO_PKG_VERSION");
        write!(
            text,
            "# HELP istio_build version of this program\n# TYPE istio_build gauge\nistio_build{{component=\"agent\",tag=\"{version}\"}} 1\n"
        )
        .expect("writing to a string cannot fail");
        text
    }
}

/// Whole seconds since 1970; 0 before.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn counters_appear_under_their_names() {
        let metrics = Metrics::default();
        metrics.connection_failures.increment();
        let text = metrics.text();
        assert!(
            text.contains("\nistio_agent_istiod_connection_failures 1\n"),
            "{text}"
        );
        assert!(
            text.contains("\nistio_agent_xds_proxy_streams 0\n"),
            "{text}"
        );
    }
}
