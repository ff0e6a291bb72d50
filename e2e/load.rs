//! Requests sent from a pod, and what became of them: the JSON object that `bookinfo load` prints.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::eventually::eventually;
use crate::namespace::Namespace;
use crate::sidecar;

/// What became of requests.
#[derive(Clone, Debug, Default)]
pub struct Load {
    pub sent: u64,
    /// By HTTP status, of those that were answered.
    pub statuses: BTreeMap<String, u64>,
    /// By reason, of those that were not.
    pub errors: BTreeMap<String, u64>,
    /// By the version that answered.
    pub versions: BTreeMap<String, u64>,
    /// Of the slowest part, milliseconds.
    pub p99_ms: f64,
}

/// Sends from the only pod of `app`; `arguments` are those of `bookinfo load`.
///
/// # Errors
/// When the program could not be run; a failed request is a result.
pub async fn load(
    namespace: &Namespace,
    app: &str,
    url: &str,
    arguments: &[&str],
) -> Result<Load, String> {
    let command: Vec<_> = ["load", "--url", url]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let output = namespace.run(app, &command).await?;
    Load::parse(&output.stdout).map_err(|error| format!("{error}: {output:?}"))
}

/// One request: its status, or why there was none.
pub async fn once(namespace: &Namespace, app: &str, url: &str) -> Result<String, String> {
    let load = load(namespace, app, url, &["--timeout", "5s"]).await?;
    load.statuses
        .into_keys()
        .chain(load.errors.into_keys())
        .next()
        .ok_or("nothing was sent".to_owned())
}

/// Waits until the proxy of `app` knows the way to `url`: a Service that has just been made is news to it.
pub async fn known(namespace: &Namespace, app: &str, url: &str) {
    let what = format!("{app} reaches {url}");
    eventually(&namespace.client, &what, 30, || async {
        let load = load(namespace, app, url, &["--requests", "10"]).await?;
        load.is_clean().then_some(()).ok_or(format!("{load:?}"))
    })
    .await;
}

fn counts(value: &Value) -> BTreeMap<String, u64> {
    let entries = value.as_object().into_iter().flatten();
    entries
        .map(|(key, count)| (key.clone(), count.as_u64().unwrap_or_default()))
        .collect()
}

impl Load {
    /// From what the program prints when it is done.
    ///
    /// # Errors
    /// When it is not done.
    pub fn parse(printed: &str) -> Result<Self, String> {
        let report: Value =
            serde_json::from_str(printed.trim()).map_err(|error| error.to_string())?;
        Ok(Self {
            sent: report["sent"].as_u64().unwrap_or_default(),
            statuses: counts(&report["statuses"]),
            errors: counts(&report["errors"]),
            versions: counts(&report["versions"]),
            p99_ms: report["p99_ms"].as_f64().unwrap_or_default(),
        })
    }

    /// Whether every request was answered with 200.
    pub fn is_clean(&self) -> bool {
        self.sent > 0 && self.statuses.get("200") == Some(&self.sent)
    }

    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.p99_ms = self.p99_ms.max(other.p99_ms);
        for (mine, more) in [
            (&mut self.statuses, other.statuses),
            (&mut self.errors, other.errors),
            (&mut self.versions, other.versions),
        ] {
            for (key, count) in more {
                *mine.entry(key).or_default() += count;
            }
        }
    }
}

/// Requests that go on until they are stopped.
pub struct Steady {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<Load, String>>,
}

impl Steady {
    /// Sends from the only pod of `app` in parts of a few seconds; a part that is not clean is printed at once.
    pub fn begin(namespace: &Namespace, app: &str, url: &str, arguments: &[&str]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let namespace = namespace.handle();
        let (app, url) = (app.to_owned(), url.to_owned());
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let sender = tokio::spawn(async move {
            let mut arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            arguments.extend(["--duration", "4s"]);
            let mut total = Load::default();
            while !stopped.load(Ordering::Relaxed) {
                let part = load(&namespace, &app, &url, &arguments).await?;
                if !part.is_clean() {
                    let pod = namespace.pod_of(&app).await;
                    let lines = sidecar::not_ok(&namespace, &pod).await;
                    eprintln!("{}: {url}: {part:?}: {lines:#?}", namespace.name);
                }
                total.add(part);
            }
            Ok(total)
        });
        Self { stop, sender }
    }

    /// Waits for the requests under way and adds all up.
    ///
    /// # Panics
    /// When the program could not be run.
    pub async fn end(self) -> Load {
        self.stop.store(true, Ordering::Relaxed);
        let outcome = self.sender.await.expect("the sender does not panic");
        outcome.unwrap_or_else(|reason| panic!("{reason}"))
    }
}
