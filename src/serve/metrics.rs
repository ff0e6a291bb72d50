//! The metric registry and its exposition in Prometheus' text format.
//! Counters keep the names they are registered with: upstream's dashboards ask for them without a `_total` suffix.

mod process;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Build {
    component: &'static str,
    tag: &'static str,
}

/// A registry that already names this build, `istio_build{component,tag} 1`, and says what the process takes.
/// `component` is upstream's word: `pilot`, `agent`, `operator`.
pub fn registry(component: &'static str) -> Registry {
    let mut registry = Registry::default();
    let build = Family::<Build, Gauge>::default();
    let tag = env!("CARGO_PKG_VERSION");
    build.get_or_create(&Build { component, tag }).set(1);
    registry.register("istio_build", "Istio component build info", build);
    registry.register_collector(Box::new(process::Process));
    registry
}

/// The text format, version 0.0.4.
pub fn render(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).expect("writing to a String cannot fail");
    as_registered(&text)
}

/// `/metrics`.
pub fn router(registry: Arc<Registry>) -> Router {
    let metrics = move || {
        let text = render(&registry);
        async move {
            (
                [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
                text,
            )
        }
    };
    Router::new().route("/metrics", get(metrics))
}

/// OpenMetrics appends `_total` to the samples of counters and ends with a marker; the older format has neither.
fn as_registered(open_metrics: &str) -> String {
    let counters: BTreeSet<&str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines().filter(|line| *line != "# EOF") {
        let end = line.find(['{', ' ']).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        match name.strip_suffix("_total") {
            Some(counter) if counters.contains(counter) => text.push_str(counter),
            _ => text.push_str(name),
        }
        text.push_str(rest);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;

    use super::{registry, render};

    #[test]
    fn names_the_build() {
        let expected = format!(
            "istio_build{{component=\"pilot\",tag=\"{}\"}} 1\n",
            env!("CARGO_PKG_VERSION")
        );
        let text = render(&registry("pilot"));
        assert!(text.contains(&expected), "{text}");
        assert!(!text.contains("EOF"), "{text}");
    }

    #[test]
    fn counters_keep_the_names_they_were_registered_with() {
        let mut registry = registry("pilot");
        let (plain, suffixed) = (Counter::<u64>::default(), Counter::<u64>::default());
        registry.register("pilot_total_xds_rejects", "Rejects", plain.clone());
        registry.register("webhook_patch_retries_total", "Retries", suffixed.clone());
        registry.register("a_gauge_total", "Not a counter", Gauge::<i64>::default());
        plain.inc();
        suffixed.inc_by(2);
        let text = render(&registry);
        for sample in [
            "\npilot_total_xds_rejects 1\n",
            "\nwebhook_patch_retries_total 2\n",
            "\na_gauge_total 0\n",
        ] {
            assert!(text.contains(sample), "{sample} in {text}");
        }
    }
}
