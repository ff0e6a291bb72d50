//! Every status that an IstioOperator has while cases run, wherever it is: what ArgoCD shows of it has to be what its
//! conditions say at each moment, not only when a case looks. What was wrong fails the next case that leaves the mesh.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use futures::StreamExt;
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, Config, ResourceExt};
use serde_json::Value;

use crate::argocd::{self, Health};
use crate::cluster;

#[derive(Default)]
struct Seen {
    /// The last version of each, by namespace and name.
    versions: BTreeMap<(String, String), String>,
    wrong: Vec<String>,
}

static SEEN: Mutex<Seen> = Mutex::new(Seen {
    versions: BTreeMap::new(),
    wrong: Vec::new(),
});

fn seen() -> MutexGuard<'static, Seen> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to look, once for all cases of this process: each of them has a runtime of its own, which ends with it.
pub(crate) fn watch(config: &Config) {
    static BEGIN: Once = Once::new();
    BEGIN.call_once(|| {
        let config = config.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(look(config));
        });
    });
}

async fn look(config: Config) {
    let client = Client::try_from(config).expect("a client from a kubeconfig");
    let operators = cluster::dynamic(&client, "install.istio.io/v1alpha1", "IstioOperator", None);
    // Cases stop the API server: what was missed meanwhile is listed afterwards.
    let events = watcher(operators, watcher::Config::default()).default_backoff();
    let mut objects = std::pin::pin!(events.applied_objects());
    while let Some(object) = objects.next().await {
        if let Ok(object) = object {
            note(&object);
        }
    }
}

fn note(object: &DynamicObject) {
    let mut seen = seen();
    let key = (object.namespace().unwrap_or_default(), object.name_any());
    if let Err(why) = judge(&object.data, object.metadata.generation) {
        let (namespace, name) = &key;
        seen.wrong.push(format!("{namespace}/{name}: {why}"));
    }
    let version = object.resource_version().unwrap_or_default();
    seen.versions.insert(key, version);
}

/// What is wrong with the status of one version of a resource.
fn judge(resource: &Value, generation: Option<i64>) -> Result<(), String> {
    let status = &resource["status"];
    let health = argocd::judge(resource)?;
    if health == Health::Unknown || status["status"] == "ACTION_REQUIRED" {
        return Err(format!("an overall status that says nothing: {status}"));
    }
    let observed = status["observedGeneration"].as_i64();
    if observed
        .zip(generation)
        .is_some_and(|(observed, present)| observed > present)
    {
        return Err(format!(
            "generation {generation:?} is behind what was observed: {status}"
        ));
    }
    Ok(())
}

/// The version of an IstioOperator that was looked at last.
pub fn last(namespace: &str, name: &str) -> Option<String> {
    let key = (namespace.to_owned(), name.to_owned());
    seen().versions.get(&key).cloned()
}

/// Tells once what was wrong so far.
///
/// # Panics
/// When something was, and no panic is under way already.
pub(crate) fn assert_right() {
    let wrong = std::mem::take(&mut seen().wrong);
    if wrong.is_empty() {
        return;
    }
    let told = format!("statuses that were written:\n{}", wrong.join("\n"));
    match std::thread::panicking() {
        true => eprintln!("{told}"),
        false => panic!("{told}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::judge;

    #[test]
    fn only_a_status_that_says_what_its_conditions_say_passes() {
        let told = |status: &str, ready: &str, observed: i64| {
            json!({"status": {"status": status, "observedGeneration": observed,
                "conditions": [{"type": "Ready", "status": ready, "reason": "Progressing"}]}})
        };
        assert_eq!(judge(&json!({}), Some(1)), Ok(()));
        assert_eq!(judge(&told("HEALTHY", "True", 1), Some(2)), Ok(()));
        for (wrong, part) in [
            (told("HEALTHY", "False", 1), "ArgoCD shows Healthy"),
            (told("HEALTHY", "True", 3), "behind what was observed"),
            (json!({"status": {"status": "NONE"}}), "says nothing"),
            (
                json!({"status": {"status": "ACTION_REQUIRED"}}),
                "says nothing",
            ),
        ] {
            let why = judge(&wrong, Some(2)).expect_err("it is wrong");
            assert!(why.contains(part), "{why}");
        }
    }
}
