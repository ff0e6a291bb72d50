//! The one writer: takes changes in, and hands out each new state as a whole.
//!
//! Changes that wait are taken in together, so that a storm of them costs few states, while a single change is
//! never delayed. What changes nothing that the mesh uses ends here. Nothing is handed out before every source
//! has told all that it knew at its start: half a world would take configuration away from proxies.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::features::Features;
use api::finding::Finding;
use api::snapshot::{Snapshot, Touched, World};
use base::ObjectRef;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::Change;
use crate::change::Id;
use crate::jwks::Wanted;
use crate::written::Texts;

/// What is known of objects, as far as anything is.
pub type Findings = OrdMap<ObjectRef, Arc<Finding>>;

/// Batches that wait; sources wait when it is full.
const WAITING: usize = 1024;
/// Batches that are taken in together at most, so that a storm does not hold back the first of it for ever.
const TOGETHER: usize = 4096;

/// What the store hands out; all clones see the same.
#[derive(Clone, Debug)]
pub struct View {
    /// Relations, of the latest moment; notified when they change.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Endpoints, pods, nodes and secrets of the latest moment; notified when endpoints of any host or a secret
    /// change. Not older than the snapshot.
    pub worlds: watch::Receiver<Option<World>>,
    /// What is wrong with objects by themselves.
    pub findings: watch::Receiver<Findings>,
    /// Keys of issuers that somebody is to fetch; told before the rest is handed out.
    pub keys: watch::Receiver<Wanted>,
    /// What people wrote, of the latest moment; nobody is notified.
    pub texts: watch::Receiver<Texts>,
}

/// The owner of the world.
pub struct Store {
    state: State,
    changes: mpsc::Receiver<Vec<Change>>,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    worlds: watch::Sender<Option<World>>,
    findings: watch::Sender<Findings>,
    keys: watch::Sender<Wanted>,
    texts: watch::Sender<Texts>,
}

impl Store {
    /// A store of a cluster with this DNS `domain` and these switches, fed by `sources` sources over the sender.
    pub fn new(
        domain: &str,
        features: Features,
        sources: usize,
    ) -> (Self, mpsc::Sender<Vec<Change>>, View) {
        let (sender, changes) = mpsc::channel(WAITING);
        let (snapshots, snapshots_view) = watch::channel(None);
        let (worlds, worlds_view) = watch::channel(None);
        let (findings, findings_view) = watch::channel(Findings::new());
        let (keys, keys_view) = watch::channel(Wanted::default());
        let (texts, texts_view) = watch::channel(Texts::default());
        let store = Store {
            state: State::new(domain, features, sources),
            changes,
            snapshots,
            worlds,
            findings,
            keys,
            texts,
        };
        let view = View {
            snapshots: snapshots_view,
            worlds: worlds_view,
            findings: findings_view,
            keys: keys_view,
            texts: texts_view,
        };
        (store, sender, view)
    }

    /// Runs until all sources are gone.
    pub async fn run(mut self) {
        let mut waiting = Vec::new();
        while self.changes.recv_many(&mut waiting, TOGETHER).await > 0 {
            let was_complete = self.state.is_complete();
            let tokens = self.state.world.snapshot().request_authentications.clone();
            let mut touched = Touched::default();
            for batch in waiting.drain(..) {
                touched.merge(self.state.take_in(batch));
            }
            let snapshot = self.state.world.snapshot();
            // Who fetches keys is the last source to be complete.
            let settled = self.state.incomplete <= 1;
            if settled != self.keys.borrow().settled
                || !snapshot.request_authentications.is(&tokens)
            {
                self.keys.send_replace(Wanted::of(snapshot, settled));
            }
            if !self.state.is_complete() {
                continue;
            }
            if !was_complete {
                info!("every source has told what it knows");
                touched.relations = true;
            }
            self.publish(&touched, !was_complete);
            // Others may run: a long storm must not keep readers from what is there.
            tokio::task::yield_now().await;
        }
    }

    fn publish(&self, touched: &Touched, first: bool) {
        self.findings.send_if_modified(|known| {
            let now = &self.state.findings;
            if known.ptr_eq(now) {
                return false;
            }
            let differs = told_apart(known, now);
            known.clone_from(now);
            differs
        });
        self.texts.send_if_modified(|known| {
            known.clone_from(&self.state.texts);
            false
        });
        let world = self.state.world.clone();
        let snapshot = touched
            .relations
            .then(|| Arc::new(world.snapshot().clone()));
        self.worlds.send_if_modified(|known| {
            // Pods and nodes are looked up when a proxy connects; they wake nobody.
            *known = Some(world);
            first || touched.secrets || !touched.hosts.is_empty()
        });
        if let Some(snapshot) = snapshot {
            self.snapshots.send_replace(Some(snapshot));
        }
    }
}

/// Whether anything differs; what is wrong now and was not, and what no longer is, goes to the log.
fn told_apart(before: &Findings, now: &Findings) -> bool {
    let mut differs = false;
    for item in before.diff(now) {
        differs = true;
        let (old, new) = match item {
            DiffItem::Add(_, new) => (None, Some(new)),
            DiffItem::Remove(_, old) => (Some(old), None),
            DiffItem::Update { old, new } => (Some(old.1), Some(new.1)),
        };
        let problems =
            |of: Option<&Arc<Finding>>| of.map_or(Vec::new(), |finding| finding.problems.clone());
        let (old, new) = (problems(old), problems(new));
        for problem in new.iter().filter(|problem| !old.contains(problem)) {
            warn!("{problem}");
        }
        for gone in old.iter().filter(|problem| !new.contains(problem)) {
            info!("no longer so: {gone}");
        }
    }
    differs
}

/// The world, and what it waits for.
#[derive(Clone, Debug)]
pub struct State {
    world: World,
    incomplete: usize,
    findings: Findings,
    texts: Texts,
    /// Keys of `findings`.
    judged: BTreeMap<Id, ObjectRef>,
}

impl State {
    /// An empty world that is complete once `sources` sources said so.
    pub fn new(domain: &str, features: Features, sources: usize) -> Self {
        State {
            world: World::new(domain).with_features(features),
            incomplete: sources,
            findings: Findings::new(),
            texts: Texts::default(),
            judged: BTreeMap::new(),
        }
    }

    /// Takes in one batch and says what it touched.
    pub fn take_in(&mut self, batch: Vec<Change>) -> Touched {
        let mut touched = Touched::default();
        for change in batch {
            if !self.findings.is_empty() {
                self.acquit(&change);
            }
            self.texts.follow(&change);
            touched.merge(match change {
                Change::Put(item) => self.world.put(*item),
                Change::Remove(kind, key) => self.world.remove(kind, &key),
                // Said by the judgement that follows.
                Change::Refuse(kind, key, _) => self.world.remove(kind, &key),
                Change::Judge(finding) => {
                    self.judge(*finding);
                    Touched::default()
                }
                Change::Keys(source, keys) => self.world.learn(source, keys),
                // Followed above.
                Change::Written(..) => Touched::default(),
                Change::Configure(mesh) => self.world.configure(*mesh),
                Change::RefuseMesh(problem) => {
                    warn!("{problem}");
                    Touched::default()
                }
                Change::Complete => {
                    self.incomplete = self.incomplete.saturating_sub(1);
                    Touched::default()
                }
            });
        }
        touched
    }

    /// Whether every source has told all that it knew at its start.
    pub fn is_complete(&self) -> bool {
        self.incomplete == 0
    }

    /// Everything told so far.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// What is wrong with objects by themselves.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// What was known of an object no longer holds once it is told anew.
    fn acquit(&mut self, change: &Change) {
        let id = match change {
            Change::Put(item) => Id::Object(item.kind(), item.key().clone()),
            Change::Remove(kind, key) | Change::Refuse(kind, key, _) => {
                Id::Object(*kind, key.clone())
            }
            Change::Judge(finding) => Id::of_subject(&finding.subject),
            Change::Configure(_)
            | Change::RefuseMesh(_)
            | Change::Keys(..)
            | Change::Written(..)
            | Change::Complete => {
                return;
            }
        };
        if let Some(subject) = self.judged.remove(&id) {
            self.findings.remove(&subject);
        }
    }

    fn judge(&mut self, finding: Finding) {
        if !finding.is_empty() {
            let subject = finding.subject.clone();
            self.judged
                .insert(Id::of_subject(&subject), subject.clone());
            self.findings.insert(subject, Arc::new(finding));
        }
    }
}

#[cfg(test)]
mod tests;
