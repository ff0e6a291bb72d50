//! The application's own metrics, offered together with the proxy's: injection led Prometheus here, and wrote down
//! where it would have gone otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::admin::{Answer, Local};
use crate::config::InvalidConfig;

const SCRAPING: &str = "ISTIO_PROMETHEUS_ANNOTATIONS";
/// Prometheus' own default for a whole scrape.
const LIMIT: Duration = Duration::from_secs(10);

/// Where the application's metrics are; nowhere mostly.
#[derive(Clone, Debug, Default)]
pub struct AppMetrics {
    targets: Vec<Target>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    port: u16,
    path: String,
}

impl AppMetrics {
    /// Reads the variable that injection wrote: `{"scrape", "path", "port"}` as the pod's annotations say, or several
    /// `targets`. One that leads to `status_port` is left out: it would lead here.
    ///
    /// # Errors
    /// A variable that cannot be read.
    pub fn new(
        environment: &BTreeMap<String, String>,
        status_port: u16,
    ) -> Result<AppMetrics, InvalidConfig> {
        let text = environment.get(SCRAPING).map_or("", String::as_str);
        if text.is_empty() {
            return Ok(AppMetrics::default());
        }
        let targets = targets(text).ok_or_else(|| InvalidConfig::Value {
            name: SCRAPING.to_owned(),
            value: text.to_owned(),
            expected: "an object with scrape, path and port, or with targets of these",
        })?;
        let others = targets.into_iter().filter(|to| to.port != status_port);
        Ok(AppMetrics {
            targets: others.collect(),
        })
    }

    /// What answers well, body still to come, and how many do not.
    pub async fn scrape(&self) -> (Vec<Answer>, u64) {
        let (mut answers, mut failures) = (Vec::new(), 0);
        for Target { port, path } in &self.targets {
            let local = Local::port(*port);
            let asked = local.send(Method::GET, path, Bytes::new());
            match tokio::time::timeout(LIMIT, asked).await {
                Ok(Ok(answer)) if answer.response.status() == StatusCode::OK => {
                    answers.push(answer);
                    continue;
                }
                Ok(Ok(answer)) => {
                    let status = answer.response.status();
                    tracing::warn!("the application answered {status} to {path} on port {port}");
                }
                Ok(Err(error)) => tracing::warn!("no metrics from the application: {error}"),
                Err(_) => tracing::warn!("no metrics from port {port} within {LIMIT:?}"),
            }
            failures += 1;
        }
        (answers, failures)
    }
}

/// Nothing when the text is none.
fn targets(text: &str) -> Option<Vec<Target>> {
    let scraping: Value = serde_json::from_str(text).ok()?;
    let scraping = scraping.as_object()?;
    let value = |key: &str| scraping.get(key).filter(|value| !value.is_null());
    if let Some(listed) = value("targets") {
        return listed.as_array()?.iter().map(target).collect();
    }
    match value("scrape").map(|scrape| scrape.as_str().unwrap_or_default()) {
        None | Some("" | "false") => Some(Vec::new()),
        Some(_) => Some(vec![target(&Value::Object(scraping.clone()))?]),
    }
}

/// Prometheus' defaults are port 80 and `/metrics`.
fn target(value: &Value) -> Option<Target> {
    let value = value.as_object()?;
    let text = |key: &str| match value.get(key) {
        None | Some(Value::Null) => Some(""),
        Some(text) => text.as_str(),
    };
    Some(Target {
        port: match text("port")? {
            "" => 80,
            port => port.parse().ok().filter(|port| *port != 0)?,
        },
        path: match text("path")? {
            "" => "/metrics".to_owned(),
            path => format!("/{}", path.trim_start_matches('/')),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{AppMetrics, Target};

    fn read(text: &str) -> Option<Vec<Target>> {
        let environment =
            BTreeMap::from([("ISTIO_PROMETHEUS_ANNOTATIONS".to_owned(), text.to_owned())]);
        AppMetrics::new(&environment, 15020)
            .ok()
            .map(|metrics| metrics.targets)
    }

    fn target(port: u16, path: &str) -> Target {
        let path = path.to_owned();
        Target { port, path }
    }

    #[test]
    fn what_injection_writes_is_understood() {
        for (text, expected) in [
            ("", vec![]),
            (r#"{"scrape":"","path":"","port":"9080"}"#, vec![]),
            (r#"{"scrape":"false","port":"9080"}"#, vec![]),
            (
                r#"{"scrape":"true","path":"","port":""}"#,
                vec![target(80, "/metrics")],
            ),
            (
                r#"{"scrape":"true","path":"stats","port":"9080"}"#,
                vec![target(9080, "/stats")],
            ),
            (
                r#"{"scrape":"true","path":"/stats/prometheus","port":"15020"}"#,
                vec![],
            ),
            (
                r#"{"scrape":"true","targets":[{"port":"1","path":"/a"},{"port":"2","path":"/b"}]}"#,
                vec![target(1, "/a"), target(2, "/b")],
            ),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "x",
            "[]",
            r#"{"scrape":"true","port":"soon"}"#,
            r#"{"scrape":"true","port":"0"}"#,
            r#"{"scrape":"true","port":9080}"#,
            r#"{"targets":[7]}"#,
            r#"{"targets":"1"}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
