//! What every connected proxy is to have, kept current: one task owns all derivations and gives each stream a
//! value that it replaces.
//!
//! Proxies that cannot be told apart share one derivation: it is made once per change, compared by content with
//! what was there before, and the same value is handed to all of them. Endpoints go past the mesh: a changed
//! host costs its own assignments only.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::snapshot::World;
use envoy::Memo;
use mesh::{Families, Mesh, Proxy, Scopes};
use serve::Shutdown;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::error;

use crate::assignment::Assignments;
use crate::body::Bodies;
use crate::derivation::Derivation;
use crate::{Resources, proxy};

/// Streams that wait to be given their value.
const WAITING: usize = 256;
/// Between two looks for proxies that have gone, whose derivations nobody needs.
const TIDY: Duration = Duration::from_secs(5);
/// The longest rest after a change was followed.
const REST: Duration = Duration::from_secs(1);

/// Where a stream asks for what its proxy is to have. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Push {
    asks: mpsc::Sender<Ask>,
    /// What is on its way to proxies, shared by the streams of all ports.
    pub(crate) bodies: Bodies,
    /// When the change was seen that was handed out last.
    changed: Arc<Mutex<Option<Instant>>>,
}

#[derive(Debug)]
struct Ask {
    proxy: Proxy,
    reply: oneshot::Sender<watch::Receiver<Arc<Resources>>>,
}

impl Push {
    /// What a proxy is to have, now and from now on. Waits until a mesh is there.
    ///
    /// `None` when the task has ended.
    pub async fn subscribe(&self, proxy: Proxy) -> Option<watch::Receiver<Arc<Resources>>> {
        let (reply, replied) = oneshot::channel();
        self.asks.send(Ask { proxy, reply }).await.ok()?;
        replied.await.ok()
    }

    /// How long ago the change was seen that was handed out last.
    pub(crate) fn since_change(&self) -> Option<Duration> {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.map(|at| at.elapsed())
    }
}

#[cfg(test)]
impl Push {
    /// Every proxy is to have the same.
    pub(crate) fn same(resources: watch::Receiver<Arc<Resources>>) -> Self {
        let (asks, mut asked) = mpsc::channel::<Ask>(WAITING);
        tokio::spawn(async move {
            while let Some(ask) = asked.recv().await {
                let _ = ask.reply.send(resources.clone());
            }
        });
        Push {
            asks,
            bodies: Bodies::default(),
            changed: Arc::default(),
        }
    }
}

/// The task that derives, and where to ask it. It ends with `shutdown`, or when nobody can ask any more.
pub fn push(
    meshes: watch::Receiver<Option<Arc<Mesh>>>,
    worlds: watch::Receiver<Option<World>>,
    shutdown: Shutdown,
) -> (Push, impl Future<Output = ()> + Send + 'static) {
    let (asks, asked) = mpsc::channel(WAITING);
    let changed = Arc::default();
    let owner = Owner {
        changed: Arc::clone(&changed),
        meshes,
        worlds,
        followed: None,
        groups: Vec::new(),
        making: Making::default(),
        freed: true,
    };
    let push = Push {
        asks,
        bodies: Bodies::default(),
        changed,
    };
    (push, owner.run(asked, shutdown))
}

struct Owner {
    changed: Arc<Mutex<Option<Instant>>>,
    meshes: watch::Receiver<Option<Arc<Mesh>>>,
    worlds: watch::Receiver<Option<World>>,
    /// The mesh that every group was brought to.
    followed: Option<Arc<Mesh>>,
    groups: Vec<Group>,
    making: Making,
    /// Whether much was freed since memory was given back.
    freed: bool,
}

/// What derivations are made with: results of earlier ones, shared by all of them.
#[derive(Default)]
struct Making {
    scopes: Scopes,
    memo: Memo,
    assignments: Assignments,
}

/// Proxies that differ in their names and addresses only.
struct Group {
    /// One of them, without name and addresses.
    like: Proxy,
    families: Families,
    members: Vec<Member>,
    /// By the addresses of its own that a proxy's resources depend on: usually none.
    derivations: BTreeMap<Vec<IpAddr>, Derivation>,
}

struct Member {
    proxy: Proxy,
    sender: watch::Sender<Arc<Resources>>,
}

impl Owner {
    async fn run(mut self, mut asked: mpsc::Receiver<Ask>, shutdown: Shutdown) {
        let shutdown = shutdown.cancelled();
        let mut shutdown = std::pin::pin!(shutdown);
        let ready = async {
            let _ = self.meshes.wait_for(Option::is_some).await;
            let _ = self.worlds.wait_for(Option::is_some).await;
        };
        tokio::select! {
            () = &mut shutdown => return,
            () = ready => {}
        }
        let mut tidy = tokio::time::interval(TIDY);
        // A change is followed at once when it comes alone. In a storm as much time passes between two states
        // as the last one took, so that deriving never takes more than half of what there is.
        let mut rested = Instant::now();
        // When a change was seen that nobody was told of yet. Kept outside of the loop: whoever joins during a rest
        // must not make it forgotten.
        let mut waits: Option<Instant> = None;
        loop {
            let rest = async {
                match waits {
                    Some(_) => tokio::time::sleep_until(rested).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut shutdown => return,
                _ = tidy.tick() => self.tidy(),
                ask = asked.recv() => match ask {
                    Some(ask) => self.join(ask),
                    None => return,
                },
                Ok(()) = self.worlds.changed(), if waits.is_none() => waits = Some(Instant::now()),
                Ok(()) = self.meshes.changed(), if waits.is_none() => waits = Some(Instant::now()),
                () = rest => {
                    let began = Instant::now();
                    *self.changed.lock().unwrap_or_else(PoisonError::into_inner) = waits.take();
                    self.everyone().await;
                    rested = Instant::now() + began.elapsed().min(REST);
                }
            }
        }
    }

    /// Forgets what was made for proxies that have gone.
    fn tidy(&mut self) {
        let groups = self.groups.len();
        let members = |groups: &[Group]| groups.iter().map(|group| group.members.len()).sum();
        let before: usize = members(&self.groups);
        self.groups.retain_mut(Group::has_members);
        if self.groups.is_empty() {
            self.making = Making::default();
        } else if self.groups.len() < groups {
            self.making.memo.forget_last();
            self.making.memo.sweep();
        }
        let left: usize = members(&self.groups);
        self.freed |= left < before;
        // Not before it is quiet: what streams of this moment free may be used again at once.
        if self.freed && left == before {
            self.freed = false;
            serve::memory::give_back();
        }
    }

    fn join(&mut self, Ask { mut proxy, reply }: Ask) {
        // Changes wait for their turn: what is given now is what all others have.
        let (Some(mesh), Some(world)) =
            (self.meshes.borrow().clone(), self.worlds.borrow().clone())
        else {
            return;
        };
        proxy::complete(&mut proxy, &world);
        let like = without_identity(&proxy);
        let families = proxy.families();
        let mut groups = self.groups.iter();
        let position = groups.position(|group| group.families == families && group.like == like);
        let group = match position {
            Some(position) => &mut self.groups[position],
            None => {
                self.groups.push(Group {
                    like,
                    families,
                    members: Vec::new(),
                    derivations: BTreeMap::new(),
                });
                self.groups.last_mut().expect("pushed above")
            }
        };
        let (sender, receiver) = watch::channel(Arc::default());
        let member = Member { proxy, sender };
        group.serve(&member, &mesh, &world, &mut self.making);
        group.members.push(member);
        self.freed = true;
        // A stream that ended meanwhile needs no answer.
        let _ = reply.send(receiver);
    }

    async fn everyone(&mut self) {
        let mesh = self.meshes.borrow_and_update().clone();
        let world = self.worlds.borrow_and_update().clone();
        let (Some(mesh), Some(world)) = (mesh, world) else {
            return;
        };
        let followed = self.followed.replace(mesh.clone());
        let step = match followed {
            Some(followed) if Arc::ptr_eq(&followed, &mesh) => Step::Endpoints,
            _ => Step::Mesh,
        };
        self.groups.retain_mut(Group::has_members);
        for group in &mut self.groups {
            group.follow(step, &mesh, &world, &mut self.making);
            // Streams send while the next group is derived.
            tokio::task::yield_now().await;
        }
        self.making.memo.sweep();
        self.making.assignments.sweep();
        self.freed = true;
    }
}

/// What changed.
#[derive(Clone, Copy)]
enum Step {
    /// Endpoints only.
    Endpoints,
    /// Relations, and perhaps endpoints.
    Mesh,
}

impl Group {
    fn has_members(&mut self) -> bool {
        self.members.retain(|member| !member.sender.is_closed());
        !self.members.is_empty()
    }

    /// Gives a member what it is to have at this moment.
    fn serve(&mut self, member: &Member, mesh: &Mesh, world: &World, making: &mut Making) {
        let own = self.derive(&member.proxy, mesh, world, making, &mut BTreeMap::new());
        self.hand_out(member, own);
    }

    fn follow(&mut self, step: Step, mesh: &Mesh, world: &World, making: &mut Making) {
        match step {
            Step::Endpoints => {
                for derivation in self.derivations.values_mut() {
                    guarded(&self.like, || {
                        derivation.assign(&mut making.assignments, world);
                    });
                }
            }
            Step::Mesh => {
                // Which addresses matter may have changed as well.
                let mut before = std::mem::take(&mut self.derivations);
                let members = std::mem::take(&mut self.members);
                for member in &members {
                    self.derive(&member.proxy, mesh, world, making, &mut before);
                }
                self.members = members;
            }
        }
        for member in &self.members {
            self.hand_out(member, self.derivation_of(&member.proxy));
        }
    }

    /// The key of the derivation that serves a proxy, as far as that is known without deriving.
    fn derivation_of(&self, proxy: &Proxy) -> Option<Vec<IpAddr>> {
        let any = self.derivations.values().next()?;
        Some(any.own_addresses(proxy)).filter(|own| self.derivations.contains_key(own))
    }

    /// Makes sure that there is a current derivation for a proxy, from its predecessor in `before` if it has one.
    fn derive(
        &mut self,
        proxy: &Proxy,
        mesh: &Mesh,
        world: &World,
        making: &mut Making,
        before: &mut BTreeMap<Vec<IpAddr>, Derivation>,
    ) -> Option<Vec<IpAddr>> {
        if let Some(known) = self.derivation_of(proxy) {
            return Some(known);
        }
        let mut scope = None;
        guarded(proxy, || scope = Some(making.scopes.scope(mesh, proxy)));
        let own = scope.as_ref().map(|scope| scope.own_addresses.clone());
        // Without a scope, what was in force before stays.
        let own = own.or_else(|| before.keys().next().cloned())?;
        let mut derivation = before.remove(&own).unwrap_or_default();
        if let Some(scope) = scope {
            let Making {
                memo, assignments, ..
            } = making;
            guarded(proxy, || derivation.update(scope, memo, assignments, world));
        }
        self.derivations.insert(own.clone(), derivation);
        Some(own)
    }

    fn hand_out(&self, member: &Member, own: Option<Vec<IpAddr>>) {
        let Some(derivation) = own.and_then(|own| self.derivations.get(&own)) else {
            return;
        };
        let resources = derivation.resources();
        member.sender.send_if_modified(|known| {
            let differs = !Arc::ptr_eq(known, resources);
            *known = resources.clone();
            differs
        });
    }
}

/// A derivation that fails must not end those of other proxies: these keep what they have.
fn guarded(proxy: &Proxy, derive: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(derive)).is_err() {
        error!(
            proxy = proxy.id,
            namespace = proxy.namespace,
            "deriving configuration failed, proxies like this one keep what they have"
        );
    }
}

/// What decides about a proxy's resources beside its addresses.
fn without_identity(proxy: &Proxy) -> Proxy {
    Proxy {
        id: String::new(),
        addresses: Vec::new(),
        ..proxy.clone()
    }
}

#[cfg(test)]
mod tests;
