//! Which metrics are kept, and with which labels. Providers of an entry replace those before it;
//! overrides add up.

use std::collections::BTreeMap;

use api::duration::Duration;
use api::mesh_config::Use;
use api::telemetry::{MetricSelector, Mode, Operation, TagOverride, Telemetry};

use super::{Known, defaults, names};

/// Metrics for one provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// How often open connections are reported; every 15 s when absent.
    pub interval: Option<Duration>,
    /// What is otherwise than usual.
    pub overrides: Vec<Override>,
}

/// What is otherwise with one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Its name, without the prefix of all.
    pub metric: String,
    /// Whether it is not kept.
    pub dropped: bool,
    /// Its labels, by name.
    pub tags: Vec<(String, Tag)>,
}

/// What becomes of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// It has the value of an expression.
    Is(String),
    /// It is left out.
    Removed,
}

/// The mesh's metrics, as users name them and as Prometheus reads them.
const NAMES: [(&str, &str); 10] = [
    ("GRPC_REQUEST_MESSAGES", "request_messages_total"),
    ("GRPC_RESPONSE_MESSAGES", "response_messages_total"),
    ("REQUEST_COUNT", "requests_total"),
    ("REQUEST_DURATION", "request_duration_milliseconds"),
    ("REQUEST_SIZE", "request_bytes"),
    ("RESPONSE_SIZE", "response_bytes"),
    ("TCP_CLOSED_CONNECTIONS", "tcp_connections_closed_total"),
    ("TCP_OPENED_CONNECTIONS", "tcp_connections_opened_total"),
    ("TCP_RECEIVED_BYTES", "tcp_received_bytes_total"),
    ("TCP_SENT_BYTES", "tcp_sent_bytes_total"),
];

/// What is said of a provider.
#[derive(Default)]
struct Said<'a> {
    interval: Option<Duration>,
    all_off: bool,
    /// By name of the metric, as users name it.
    metrics: BTreeMap<&'a str, Changes<'a>>,
}

#[derive(Default)]
struct Changes<'a> {
    dropped: bool,
    tags: BTreeMap<&'a str, &'a TagOverride>,
}

pub(super) fn merged(known: &Known, levels: &[&Telemetry], end: Mode) -> Vec<Metrics> {
    let prometheus = |name: &str| known.usable(name, Use::Metrics).is_ok();
    let said = said(known, levels, end).into_iter();
    said.filter(|(name, said)| !said.all_off && prometheus(name))
        .map(|(_, said)| Metrics {
            interval: said.interval,
            overrides: said.metrics.into_iter().map(changed).collect(),
        })
        .collect()
}

fn said<'a>(known: &'a Known, levels: &[&'a Telemetry], end: Mode) -> BTreeMap<&'a str, Said<'a>> {
    let of_mesh = defaults(&known.config.default_providers.metrics);
    let entries: Vec<_> = levels.iter().flat_map(|level| &level.metrics).collect();
    if entries.is_empty() {
        let all = of_mesh.into_iter();
        return all.map(|name| (name, Said::default())).collect();
    }
    let last = entries.iter().rfind(|entry| !entry.providers.is_empty());
    let in_force = last.map_or_else(|| of_mesh.clone(), |entry| names(&entry.providers));
    let mut all: BTreeMap<&str, Said> = BTreeMap::new();
    let mut about = of_mesh;
    for entry in entries {
        if !entry.providers.is_empty() {
            about = names(&entry.providers);
        }
        for name in about.iter().filter(|name| in_force.contains(name)) {
            let said = all.entry(name).or_default();
            said.interval = entry.reporting_interval.or(said.interval);
            for own in &entry.overrides {
                if !own.r#match.mode.includes(end) {
                    continue;
                }
                if is_all(&own.r#match) && own.disabled == Some(true) {
                    said.all_off = true;
                    continue;
                }
                // Whatever is said of a metric after all were switched off switches them on.
                said.all_off = false;
                for metric in selected(&own.r#match) {
                    let changes = said.metrics.entry(metric).or_default();
                    changes.dropped = own.disabled.unwrap_or(changes.dropped);
                    let tags = own.tag_overrides.iter();
                    changes
                        .tags
                        .extend(tags.map(|(tag, change)| (tag.as_str(), change)));
                }
            }
        }
    }
    all
}

fn is_all(selector: &MetricSelector) -> bool {
    let metric = selector.metric.as_deref();
    selector.custom_metric.is_none() && metric.is_none_or(|name| name == "ALL_METRICS")
}

fn selected(selector: &MetricSelector) -> Vec<&str> {
    if is_all(selector) {
        return NAMES.iter().map(|(name, _)| *name).collect();
    }
    let custom = selector.custom_metric.as_deref();
    custom.or(selector.metric.as_deref()).into_iter().collect()
}

fn changed((metric, changes): (&str, Changes)) -> Override {
    let known = NAMES.iter().find(|(name, _)| *name == metric);
    let tags = changes.tags.into_iter().map(|(tag, change)| {
        let what = match change.operation {
            Operation::Upsert => Tag::Is(change.value.clone()),
            Operation::Remove => Tag::Removed,
        };
        (tag.to_owned(), what)
    });
    Override {
        metric: known.map_or(metric, |(_, name)| name).to_owned(),
        dropped: changes.dropped,
        tags: tags.collect(),
    }
}
