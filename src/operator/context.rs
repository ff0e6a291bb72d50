//! What every pass shares: the client, what is known of the cluster, and what is remembered of
//! each IstioOperator between passes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use install::{Observed, Owner};
use kube::Client;
use kube::api::DynamicObject;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::Store;
use rollout::Inventory;
use tokio::sync::watch;

use crate::ca_plan::{CaPlan, Plans, decide};
use crate::memory::Memory;
use crate::metrics::Metrics;

/// What whoever starts the operator decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Registry and path of images when a specification names none.
    pub hub: String,
    /// Tag of images when a specification names none.
    pub tag: String,
    /// Version of this program.
    pub version: String,
    /// How long a component may take to become available before it counts as failed.
    pub readiness_timeout: Duration,
    /// How often everything is looked at even when nothing happens.
    pub resync: Duration,
    /// Only IstioOperators of this namespace; all when empty.
    pub watch_namespace: String,
    /// Name of this process in Events.
    pub identity: String,
}

/// Shared by all passes.
pub struct Context {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) seen: Observed,
    pub(crate) metrics: Metrics,
    pub(crate) recorder: Recorder,
    inventory: Mutex<Inventory>,
    memories: Mutex<BTreeMap<(String, String), Memory>>,
    plans: Mutex<Plans>,
    ca: watch::Sender<Option<CaPlan>>,
    operators: Store<DynamicObject>,
}

impl Context {
    /// A context that knows nothing of the cluster yet.
    pub fn new(
        client: Client,
        settings: Settings,
        kubernetes: Option<(u32, u32)>,
        metrics: Metrics,
        ca: watch::Sender<Option<CaPlan>>,
        operators: &Store<DynamicObject>,
    ) -> Context {
        let reporter = Reporter {
            controller: base::labels::FIELD_MANAGER.to_owned(),
            instance: Some(settings.identity.clone()),
        };
        Context {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            seen: Observed {
                hub: settings.hub.clone(),
                tag: settings.tag.clone(),
                version: settings.version.clone(),
                kubernetes,
            },
            settings,
            metrics,
            inventory: Mutex::default(),
            memories: Mutex::default(),
            plans: Mutex::default(),
            ca,
            operators: operators.clone(),
        }
    }

    /// The inventory; never held across an await.
    pub(crate) fn inventory(&self) -> MutexGuard<'_, Inventory> {
        lock(&self.inventory)
    }

    /// Takes out what is remembered of an IstioOperator; passes over one never overlap.
    pub(crate) fn recall(&self, owner: &Owner) -> Memory {
        lock(&self.memories).remove(&key(owner)).unwrap_or_default()
    }

    /// Puts it back.
    pub(crate) fn remember(&self, owner: &Owner, memory: Memory) {
        lock(&self.memories).insert(key(owner), memory);
    }

    /// The IstioOperator exists no longer.
    pub(crate) fn forget(&self, owner: &Owner) {
        lock(&self.memories).remove(&key(owner));
        self.plan_ca(owner, None);
    }

    /// Notes which CA an IstioOperator asks for.
    pub(crate) fn plan_ca(&self, owner: &Owner, plan: Option<CaPlan>) {
        let decided = decide(&mut lock(&self.plans), owner, plan);
        self.ca.send_if_modified(|current| {
            let changed = *current != decided;
            *current = decided;
            changed
        });
    }

    /// Every IstioOperator that exists apart from `owner`.
    pub(crate) fn others(&self, owner: &Owner) -> BTreeSet<(String, String)> {
        self.operators
            .state()
            .iter()
            .map(|cr| key(&owner_of(cr)))
            .filter(|other| *other != key(owner))
            .collect()
    }

    /// Every IstioOperator that exists.
    pub(crate) fn operators(&self) -> Vec<Arc<DynamicObject>> {
        self.operators.state()
    }
}

/// The owner that the labels of an IstioOperator's objects name.
pub(crate) fn owner_of(cr: &DynamicObject) -> Owner {
    Owner {
        name: cr.metadata.name.clone().unwrap_or_default(),
        namespace: cr.metadata.namespace.clone().unwrap_or_default(),
    }
}

/// Owners in the order in which they are told apart everywhere.
pub(crate) fn key(owner: &Owner) -> (String, String) {
    (owner.namespace.clone(), owner.name.clone())
}

// What is locked is replaced in one step, so a panic elsewhere leaves nothing half-done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
