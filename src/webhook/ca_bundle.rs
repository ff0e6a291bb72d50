//! Keeps `caBundle` of this revision's webhook configurations equal to the mesh's roots, so that the API server
//! trusts our webhooks, and closes the validating one once it was seen to work: `failurePolicy` becomes `Fail`, and
//! is never opened from here. Touches no other field.

use std::sync::Arc;
use std::time::Duration;

use base::labels;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{Stream, StreamExt};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde_json::Value;
use serve::Shutdown;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use crate::failure_policy::Works;

/// Field manager of the writes.
const FIELD_MANAGER: &str = "istio-discovery";
/// For one write.
const CALL: Duration = Duration::from_secs(15);
/// First and longest pause after a failed write.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// The mesh's roots as PEM, `None` until there is a CA.
pub type Roots = watch::Receiver<Option<Arc<str>>>;

/// What the configurations follow from.
#[derive(Clone)]
pub struct Known {
    /// What the API server is to trust us by.
    pub roots: Roots,
    /// Whether the validating webhook was seen to work.
    pub works: Works,
}

/// Counts what is written, under upstream's names.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    attempts: Counter,
    failures: Counter,
    updates: Counter,
    update_errors: Family<Reason, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        registry.register(
            "webhook_patch_attempts_total",
            "Webhook patching attempts",
            metrics.attempts.clone(),
        );
        registry.register(
            "webhook_patch_failures_total",
            "Webhook patching total failures",
            metrics.failures.clone(),
        );
        registry.register(
            "galley_validation_config_updates",
            "Webhook configuration updates",
            metrics.updates.clone(),
        );
        registry.register(
            "galley_validation_config_update_error",
            "Webhook configuration update error",
            metrics.update_errors.clone(),
        );
        metrics
    }
}

/// A kind of webhook configuration, and which of its entries are ours.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Mutating,
    Validating,
}

impl Kind {
    fn resource(self) -> ApiResource {
        match self {
            Kind::Mutating => ApiResource::erase::<MutatingWebhookConfiguration>(&()),
            Kind::Validating => ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
        }
    }

    /// The end of our entries' names; others that share an object are left alone.
    fn suffix(self) -> &'static str {
        match self {
            Kind::Mutating => "sidecar-injector.istio.io",
            Kind::Validating => "validation.istio.io",
        }
    }
}

/// Runs until `shutdown` for the objects labelled with `revision`.
pub async fn keep(
    client: Client,
    revision: String,
    known: Known,
    metrics: Metrics,
    shutdown: Shutdown,
) {
    let keep = |kind| {
        let (client, known, shutdown) = (client.clone(), known.clone(), shutdown.clone());
        keep_kind(client, kind, &revision, known, &metrics, shutdown)
    };
    tokio::join!(keep(Kind::Mutating), keep(Kind::Validating));
}

async fn keep_kind(
    client: Client,
    kind: Kind,
    revision: &str,
    Known {
        mut roots,
        mut works,
    }: Known,
    metrics: &Metrics,
    shutdown: Shutdown,
) {
    let api: Api<DynamicObject> = Api::all_with(client, &kind.resource());
    let mut events = labelled(&api, revision);
    let mut known: std::collections::BTreeMap<String, DynamicObject> = Default::default();
    let mut pause = PAUSES.0;
    loop {
        let mut retry = None;
        let pem = roots.borrow_and_update().clone();
        let closes = *works.borrow_and_update();
        if let Some(pem) = pem {
            for object in known.values_mut() {
                let Some(wanted) = wanted(object, &pem, kind, closes) else {
                    continue;
                };
                metrics.attempts.inc();
                match replace(&api, &wanted).await {
                    Ok(stored) => {
                        if let Kind::Validating = kind {
                            metrics.updates.inc();
                        }
                        info!("{} now trusts this CA", name(&stored));
                        *object = stored;
                        pause = PAUSES.0;
                    }
                    Err(error) => {
                        metrics.failures.inc();
                        if let Kind::Validating = kind {
                            let reason = reason(&error);
                            metrics
                                .update_errors
                                .get_or_create(&Reason { reason })
                                .inc();
                        }
                        warn!(%error, "caBundle of {} could not be written, trying again", name(object));
                        retry = Some(Instant::now() + pause);
                    }
                }
            }
        }
        if retry.is_some() {
            pause = (pause * 2).min(PAUSES.1);
        }
        let retry = async {
            match retry {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(event) = events.next() => match event {
                Ok(Event::Init) => known.clear(),
                Ok(Event::Apply(object) | Event::InitApply(object)) => {
                    known.insert(name(&object), object);
                }
                Ok(Event::Delete(object)) => {
                    known.remove(&name(&object));
                }
                Ok(Event::InitDone) => {}
                Err(error) => warn!(%error, ?kind, "watching webhook configurations failed, trying again"),
            },
            Ok(()) = roots.changed() => {}
            Ok(()) = works.changed() => {}
            () = retry => {}
        }
    }
}

fn labelled(
    api: &Api<DynamicObject>,
    revision: &str,
) -> impl Stream<Item = watcher::Result<Event<DynamicObject>>> + Unpin + use<> {
    let selector = format!("{}={revision}", labels::REVISION);
    let config = watcher::Config::default().labels(&selector);
    watcher(api.clone(), config).default_backoff().boxed()
}

fn name(object: &DynamicObject) -> String {
    object.metadata.name.clone().unwrap_or_default()
}

/// Writes the whole object with the resource version that was seen: our role may not patch every kind,
/// and a conflict tells that somebody else was first.
async fn replace(api: &Api<DynamicObject>, wanted: &DynamicObject) -> kube::Result<DynamicObject> {
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..Default::default()
    };
    let name = name(wanted);
    match timeout(CALL, api.replace(&name, &params, wanted)).await {
        Ok(written) => written,
        Err(_) => Err(kube::Error::Service("no answer in time".into())),
    }
}

/// One word for why a write failed, as upstream counts it.
fn reason(error: &kube::Error) -> &'static str {
    match error {
        kube::Error::Api(status) => match status.code {
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            422 => "Invalid",
            _ => "Unknown",
        },
        _ => "Unknown",
    }
}

/// `object` with `pem` as the bundle of every entry of ours, and, where validation `closes`, refusing what it is not
/// asked about; `None` when it is so already.
fn wanted(object: &DynamicObject, pem: &str, kind: Kind, closes: bool) -> Option<DynamicObject> {
    let bundle = STANDARD.encode(pem);
    let mut wanted = object.clone();
    let mut differs = false;
    let entries = wanted.data.get_mut("webhooks")?.as_array_mut()?;
    for entry in entries {
        let ours = entry.get("name").and_then(Value::as_str);
        if !ours.is_some_and(|name| name.ends_with(kind.suffix())) {
            continue;
        }
        let Some(client) = entry.get_mut("clientConfig").and_then(Value::as_object_mut) else {
            continue;
        };
        if client.get("caBundle").and_then(Value::as_str) != Some(&bundle) {
            client.insert("caBundle".to_owned(), Value::String(bundle.clone()));
            differs = true;
        }
        if let Kind::Validating = kind
            && closes
            && entry["failurePolicy"] != "Fail"
        {
            entry["failurePolicy"] = "Fail".into();
            differs = true;
        }
    }
    differs.then_some(wanted)
}

#[cfg(test)]
mod tests;
