//! What every pass shares: the client, what is known of the cluster, and what is remembered of
//! each IstioOperator between passes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use base::ObjectRef;
use futures::future::BoxFuture;
use install::{Observed, Owner};
use kube::Client;
use kube::api::DynamicObject;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::Store;
use rollout::{Inventory, record};
use tokio::sync::mpsc;

use crate::Ca;
use crate::ca_health::CaHealth;
use crate::ca_plan::{CaPlan, Plans, decide};
use crate::hosted::HostedBy;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::others::Others;
use crate::watch::{Wake, wake_for};

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

/// The objects that the IstioOperator of a namespace and name needs.
type Needs = BTreeMap<(String, String), Arc<BTreeSet<ObjectRef>>>;

/// Shared by all passes.
pub struct Context {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) seen: Observed,
    pub(crate) metrics: Metrics,
    pub(crate) recorder: Recorder,
    inventory: Mutex<Inventory>,
    memories: Mutex<BTreeMap<(String, String), Memory>>,
    needs: Mutex<Needs>,
    plans: Mutex<Plans>,
    wake: OnceLock<mpsc::Sender<Wake>>,
    ca: Ca,
    operators: Store<DynamicObject>,
    hosted_by: OnceLock<HostedBy>,
}

impl Context {
    /// A context that knows nothing of the cluster yet.
    pub fn new(
        client: Client,
        settings: Settings,
        kubernetes: Option<(u32, u32)>,
        metrics: Metrics,
        ca: Ca,
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
                host: None,
            },
            settings,
            metrics,
            inventory: Mutex::default(),
            memories: Mutex::default(),
            needs: Mutex::default(),
            plans: Mutex::default(),
            wake: OnceLock::new(),
            ca,
            operators: operators.clone(),
            hosted_by: OnceLock::new(),
        }
    }

    /// This process hosts a control plane; to be told at most once.
    pub(crate) fn host_through(&self, host: HostedBy) {
        let _ = self.hosted_by.set(host);
    }

    /// The process that hosts, when this one does.
    pub(crate) fn hosted_by(&self) -> Option<&HostedBy> {
        self.hosted_by.get()
    }

    /// What is known beside the specification `cr`. Boxed, since the compiler cannot see that it may cross threads
    /// inside of a pass otherwise.
    pub(crate) fn seen_of<'a>(&'a self, cr: &'a DynamicObject) -> BoxFuture<'a, Observed> {
        Box::pin(async {
            let host = match self.hosted_by() {
                Some(host) => host.host_of(cr).await,
                None => None,
            };
            Observed {
                host,
                ..self.seen.clone()
            }
        })
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

    /// Reads what earlier passes wrote, of this process or of one before it, unless that is known.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub(crate) async fn recall_record(
        &self,
        owner: &Owner,
        memory: &mut Memory,
    ) -> Result<(), rollout::Error> {
        if memory.kept.is_none() {
            let record = record::read(&self.client, owner).await?;
            memory.record = record.clone();
            memory.kept = Some(record);
        }
        Ok(())
    }

    /// The IstioOperator exists no longer.
    pub(crate) fn forget(&self, owner: &Owner) {
        lock(&self.memories).remove(&key(owner));
        lock(&self.needs).remove(&key(owner));
        self.plan_ca(owner, None);
    }

    /// Notes which CA an IstioOperator asks for.
    pub(crate) fn plan_ca(&self, owner: &Owner, plan: Option<CaPlan>) {
        let decided = decide(&mut lock(&self.plans), owner, plan);
        self.ca.plan.send_if_modified(|current| {
            let changed = *current != decided;
            *current = decided;
            changed
        });
    }

    /// How the CA is, for the IstioOperator whose plan it is kept by.
    pub(crate) fn ca_health(&self, owner: &Owner) -> Option<CaHealth> {
        let keeper = self.keeper()?;
        (keeper == key(owner)).then(|| self.ca.health.borrow().clone())
    }

    /// The IstioOperator whose plan the CA is kept by.
    fn keeper(&self) -> Option<(String, String)> {
        lock(&self.plans).keys().next().cloned()
    }

    /// Asks for a pass over that IstioOperator.
    pub(crate) fn wake_keeper(&self) {
        if let (Some((namespace, name)), Some(wake)) = (self.keeper(), self.wake.get()) {
            let _ = wake.try_send(wake_for(&Owner { name, namespace }));
        }
    }

    /// Through which passes over other IstioOperators are asked for.
    pub(crate) fn wake_through(&self, wake: mpsc::Sender<Wake>) {
        // Set once, before anything runs.
        let _ = self.wake.set(wake);
    }

    /// Notes which objects an IstioOperator needs. When that changes for objects that others need
    /// too, they look again.
    pub(crate) fn need(&self, owner: &Owner, objects: BTreeSet<ObjectRef>) {
        let objects = Arc::new(objects);
        let before = lock(&self.needs).insert(key(owner), Arc::clone(&objects));
        let before = before.unwrap_or_default();
        let others = self.others(owner);
        let mut changed = before.symmetric_difference(&objects);
        if changed.any(|object| others.need(object)) {
            self.wake_others(owner);
        }
    }

    /// Asks for a pass over every other IstioOperator. When the queue is full they have their turn
    /// at the next resync.
    pub(crate) fn wake_others(&self, owner: &Owner) {
        let Some(wake) = self.wake.get() else { return };
        for other in self.others(owner).needs.into_keys() {
            let (namespace, name) = other;
            let _ = wake.try_send(wake_for(&Owner { name, namespace }));
        }
    }

    /// The IstioOperators beside `owner` that are to stay, and what they need as far as is known.
    pub(crate) fn others(&self, owner: &Owner) -> Others {
        let known = lock(&self.needs);
        let all = self.operators.state();
        let staying = all
            .iter()
            .filter(|cr| cr.metadata.deletion_timestamp.is_none());
        let needs = staying
            .map(|cr| key(&owner_of(cr)))
            .filter(|other| *other != key(owner))
            .map(|other| (other.clone(), known.get(&other).cloned()))
            .collect();
        let watched = &self.settings.watch_namespace;
        Others {
            needs,
            watched: (!watched.is_empty()).then(|| watched.clone()),
        }
    }

    /// As [`Context::others`], with the records of those that had no pass yet.
    ///
    /// # Errors
    /// When a record cannot be read; nothing that may be somebody else's is to be deleted then.
    pub(crate) async fn others_for_certain(&self, owner: &Owner) -> Result<Others, rollout::Error> {
        let mut others = self.others(owner);
        for ((namespace, name), needs) in &mut others.needs {
            if needs.is_none() {
                let (name, namespace) = (name.clone(), namespace.clone());
                let record = record::read(&self.client, &Owner { name, namespace }).await?;
                *needs = Some(Arc::new(record.objects()));
            }
        }
        Ok(others)
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
