//! Which control plane this process is to host, where it hosts one: that of the first IstioOperator, by namespace
//! and name, whose control plane belongs into the operator's own namespace. Known in every replica, whether it
//! leads or not. Others get a Deployment of their own, as without a host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::istio_operator::IstioOperator;
use futures::StreamExt;
use install::{Command, Host, Observed, Owner};
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::context::{Settings, key, owner_of};
use crate::reconcile::paused;
use crate::watch::operator_resource;

/// How long a pass waits until the IstioOperator that it is about was judged here too.
const PATIENCE: Duration = Duration::from_secs(10);

/// The process that hosts.
#[derive(Clone, Debug)]
pub struct HostedBy {
    /// How Services find its pods.
    pub host: Host,
    /// What it is to host, from [`follow`].
    pub hosting: watch::Receiver<Hosting>,
    /// What the hosted control plane waits for: nothing when it serves; `None` while there is none.
    pub waiting: watch::Receiver<Option<Vec<String>>>,
}

/// A control plane to host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The IstioOperator that asks for it.
    pub owner: Owner,
    /// SPIFFE trust domain.
    pub trust_domain: String,
    /// What its process would have run.
    pub command: Command,
}

/// What is known of all IstioOperators.
#[derive(Clone, Debug, Default)]
pub struct Hosting {
    /// What is asked for, by who asks.
    plans: BTreeMap<(String, String), Arc<Plan>>,
    /// The generation of each IstioOperator that was judged.
    judged: BTreeMap<(String, String), i64>,
    listed: bool,
}

impl Hosting {
    /// The control plane to host now.
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        self.plans.values().next().filter(|_| self.listed)
    }

    /// Whether all IstioOperators were seen once.
    pub fn is_known(&self) -> bool {
        self.listed
    }

    fn knows(&self, owner: &Owner, generation: i64) -> bool {
        let judged = self.judged.get(&key(owner));
        self.listed && judged.is_some_and(|judged| *judged >= generation)
    }

    /// What is wrong with a specification, or paused, leaves in force what was asked for before.
    fn judge(&mut self, cr: &DynamicObject, seen: &Observed, namespace: &str) {
        let owner = owner_of(cr);
        let generation = cr.metadata.generation.unwrap_or_default();
        self.judged.insert(key(&owner), generation);
        if cr.metadata.deletion_timestamp.is_some() {
            self.plans.remove(&key(&owner));
            return;
        }
        if paused(cr) && self.plans.contains_key(&key(&owner)) {
            return;
        }
        let value = serde_json::to_value(cr).expect("a dynamic object came from JSON");
        let resolved = IstioOperator::parse(&value).and_then(|cr| install::resolve(&cr, seen));
        let Ok(install) = resolved else {
            return;
        };
        match install::command(&install) {
            Some(command) if command.namespace == namespace => {
                let plan = Plan {
                    trust_domain: install.trust_domain.clone(),
                    owner: owner.clone(),
                    command,
                };
                self.plans.insert(key(&owner), Arc::new(plan));
            }
            elsewhere => {
                if let Some(command) = elsewhere {
                    let (name, elsewhere) = (&owner.name, &command.namespace);
                    tracing::info!(
                        "the control plane of IstioOperator {}/{name} is in {elsewhere} and gets a Deployment there",
                        owner.namespace
                    );
                }
                self.plans.remove(&key(&owner));
            }
        }
    }

    fn forget(&mut self, owner: &Owner) {
        self.plans.remove(&key(owner));
        self.judged.remove(&key(owner));
    }
}

impl HostedBy {
    /// Whose pods host the control plane of `cr`: nobody's when it has its own.
    pub(crate) async fn host_of(&self, cr: &DynamicObject) -> Option<Host> {
        let owner = owner_of(cr);
        let generation = cr.metadata.generation.unwrap_or_default();
        let mut hosting = self.hosting.clone();
        let known = async {
            while !hosting.borrow_and_update().knows(&owner, generation)
                && hosting.changed().await.is_ok()
            {}
        };
        // Too late, or the follower is gone: what is known counts, and a change of it asks for another pass.
        let _ = tokio::time::timeout(PATIENCE, known).await;
        self.hosts(&owner).then(|| self.host.clone())
    }

    /// What the control plane of `owner` waits for, where it is hosted here.
    pub(crate) fn waiting(&self, owner: &Owner) -> Option<Vec<String>> {
        let waiting = || self.waiting.borrow().clone();
        let starts = || vec!["the operator's process to start it".to_owned()];
        self.hosts(owner).then(|| waiting().unwrap_or_else(starts))
    }

    fn hosts(&self, owner: &Owner) -> bool {
        let hosting = self.hosting.borrow();
        hosting.plan().is_some_and(|plan| plan.owner == *owner)
    }

    /// Resolves when what is hosted, or how far that is, has changed.
    pub(crate) async fn changed(&mut self) {
        tokio::select! {
            Ok(()) = self.hosting.changed() => {}
            Ok(()) = self.waiting.changed() => {}
            // Without senders nothing changes any more.
            else => std::future::pending().await,
        }
    }
}

/// Follows IstioOperators until it is dropped; `namespace` is that of this process.
pub async fn follow(
    client: Client,
    settings: &Settings,
    namespace: &str,
    sender: &watch::Sender<Hosting>,
) {
    let seen = Observed {
        hub: settings.hub.clone(),
        tag: settings.tag.clone(),
        version: settings.version.clone(),
        kubernetes: None,
        host: None,
    };
    let resource = operator_resource();
    let api: Api<DynamicObject> = match settings.watch_namespace.as_str() {
        "" => Api::all_with(client, &resource),
        namespace => Api::namespaced_with(client, namespace, &resource),
    };
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let mut events = std::pin::pin!(events);
    let mut listing = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listing.clear(),
            Ok(Event::InitApply(cr)) => {
                listing.push(key(&owner_of(&cr)));
                sender.send_modify(|hosting| hosting.judge(&cr, &seen, namespace));
            }
            Ok(Event::InitDone) => sender.send_modify(|hosting| {
                hosting.plans.retain(|owner, _| listing.contains(owner));
                hosting.judged.retain(|owner, _| listing.contains(owner));
                hosting.listed = true;
            }),
            Ok(Event::Apply(cr)) => {
                sender.send_modify(|hosting| hosting.judge(&cr, &seen, namespace));
            }
            Ok(Event::Delete(cr)) => sender.send_modify(|hosting| hosting.forget(&owner_of(&cr))),
            Err(error) => {
                tracing::warn!(%error, "the watch on IstioOperators failed, retrying");
            }
        }
    }
}

#[cfg(test)]
mod tests;
