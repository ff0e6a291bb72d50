//! The one writer: takes changes in, and hands out each new state as a whole.
//!
//! Changes that wait are taken in together, so that a storm of them costs few states, while a single change is
//! never delayed. What changes nothing that the mesh uses ends here. Nothing is handed out before every source
//! has told all that it knew at its start: half a world would take configuration away from proxies.

use std::sync::Arc;

use api::snapshot::{Snapshot, Touched, World};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::Change;
use crate::jwks::Wanted;

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
    /// Keys of issuers that somebody is to fetch; told before the rest is handed out.
    pub keys: watch::Receiver<Wanted>,
}

/// The owner of the world.
pub struct Store {
    state: State,
    changes: mpsc::Receiver<Vec<Change>>,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    worlds: watch::Sender<Option<World>>,
    keys: watch::Sender<Wanted>,
}

impl Store {
    /// A store of a cluster with this DNS `domain`, fed by `sources` sources over the sender.
    pub fn new(domain: &str, sources: usize) -> (Self, mpsc::Sender<Vec<Change>>, View) {
        let (sender, changes) = mpsc::channel(WAITING);
        let (snapshots, snapshots_view) = watch::channel(None);
        let (worlds, worlds_view) = watch::channel(None);
        let (keys, keys_view) = watch::channel(Wanted::default());
        let store = Store {
            state: State::new(domain, sources),
            changes,
            snapshots,
            worlds,
            keys,
        };
        let view = View {
            snapshots: snapshots_view,
            worlds: worlds_view,
            keys: keys_view,
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

/// The world, and what it waits for.
#[derive(Clone, Debug)]
pub struct State {
    world: World,
    incomplete: usize,
}

impl State {
    /// An empty world that is complete once `sources` sources said so.
    pub fn new(domain: &str, sources: usize) -> Self {
        State {
            world: World::new(domain),
            incomplete: sources,
        }
    }

    /// Takes in one batch and says what it touched.
    pub fn take_in(&mut self, batch: Vec<Change>) -> Touched {
        let mut touched = Touched::default();
        for change in batch {
            touched.merge(match change {
                Change::Put(item) => self.world.put(*item),
                Change::Remove(kind, key) => self.world.remove(kind, &key),
                Change::Refuse(kind, key, problem) => {
                    warn!("{problem}");
                    self.world.remove(kind, &key)
                }
                Change::Keys(source, keys) => self.world.learn(source, keys),
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
}

#[cfg(test)]
mod tests;
