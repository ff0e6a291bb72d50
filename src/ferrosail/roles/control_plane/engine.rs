//! The engine, connected: sources → store → mesh → push. What each does is its own crate's business.

mod metrics;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use api::features::Features;
use api::snapshot::{Snapshot, World};
use base::Problem;
use kube::Client;
use mesh::Mesh;
use serve::Shutdown;
use serve::health::Check;
use source::jwks::{self, Blocked, Fetcher, Pace};
use source::store::{Findings, Store};
use source::{MeshMap, Texts};
use tokio::sync::watch;
use tracing::{error, info, warn};
use xds::Push;

use crate::roles::services::Services;

pub use metrics::Metrics;

/// Where configuration comes from.
pub enum Source {
    /// The cluster that this client reaches.
    Cluster(Client),
    /// The YAML files of a folder.
    Files(PathBuf),
}

/// What the engine needs to know.
pub struct Settings {
    /// Where configuration comes from.
    pub source: Source,
    /// Where the mesh configuration is kept.
    pub mesh_map: MeshMap,
    /// DNS domain of the cluster.
    pub domain: String,
    /// Switches of the environment.
    pub features: Features,
    /// Counted here.
    pub metrics: Metrics,
    /// How keys of issuers of tokens are fetched.
    pub keys: KeyFetching,
}

/// How keys of issuers of tokens are fetched.
#[derive(Clone, Debug, Default)]
pub struct KeyFetching {
    /// Where they are not fetched from.
    pub blocked: Blocked,
    /// How often.
    pub pace: Pace,
}

/// What others read of a running engine.
pub struct Engine {
    /// What proxies are to have.
    pub push: Push,
    /// What that is made from.
    pub meshes: watch::Receiver<Option<Arc<Mesh>>>,
    /// The objects behind that, and the endpoints.
    pub worlds: watch::Receiver<Option<World>>,
    /// What is wrong with objects by themselves.
    pub findings: watch::Receiver<Findings>,
    /// What is wrong between objects, as far as the mesh found it.
    pub problems: watch::Receiver<Arc<[Problem]>>,
    /// What people wrote.
    pub texts: watch::Receiver<Texts>,
}

/// Starts the engine; `loaded` passes once proxies can be served.
pub fn start(
    settings: Settings,
    services: &mut Services,
    loaded: Check,
    shutdown: &Shutdown,
) -> Engine {
    let Settings {
        source,
        mesh_map,
        domain,
        features,
        metrics,
        keys,
    } = settings;
    let events = metrics.events.clone();
    // Objects, and keys of issuers of tokens.
    let (store, changes, view) = Store::new(&domain, features, 2);
    let ends = shutdown.clone();
    let fetching = jwks::follow(
        view.keys.clone(),
        Fetcher::new(keys.blocked, metrics.keys.clone()),
        keys.pace,
        changes.clone(),
    );
    services.spawn("keys", async move {
        tokio::select! {
            () = ends.cancelled() => {}
            () = fetching => {}
        }
    });
    let ends = shutdown.clone();
    services.spawn("source", async move {
        let following = async {
            match source {
                Source::Cluster(client) => {
                    source::kube::follow(client, mesh_map, events, changes).await
                }
                Source::Files(folder) => source::files::follow(folder, mesh_map, changes).await,
            }
        };
        tokio::select! {
            () = ends.cancelled() => {}
            () = following => {}
        }
    });
    services.spawn("store", store.run());
    let (sender, meshes) = watch::channel(None);
    let (said, problems) = watch::channel(Arc::default());
    let mesh = Compiling {
        meshes: sender,
        said,
        metrics: metrics.clone(),
    };
    services.spawn("mesh", mesh.follow(view.snapshots, shutdown.clone()));
    let counting = metrics.follow(meshes.clone(), view.worlds.clone(), shutdown.clone());
    services.spawn("engine metrics", counting);
    let (push, pushing) = xds::push(meshes.clone(), view.worlds.clone(), shutdown.clone());
    services.spawn("push", pushing);
    services.pass_when_some("configuration readiness", meshes.clone(), loaded);
    Engine {
        push,
        meshes,
        worlds: view.worlds,
        findings: view.findings,
        problems,
        texts: view.texts,
    }
}

/// What is told of each mesh.
struct Compiling {
    meshes: watch::Sender<Option<Arc<Mesh>>>,
    said: watch::Sender<Arc<[Problem]>>,
    metrics: Metrics,
}

impl Compiling {
    /// Keeps the mesh that of the latest snapshot. Snapshots that come while one is compiled replace each other.
    async fn follow(
        self,
        mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
        shutdown: Shutdown,
    ) {
        let mut known: BTreeSet<Problem> = BTreeSet::new();
        loop {
            let latest = tokio::select! {
                () = shutdown.cancelled() => return,
                changed = snapshots.changed() => match changed {
                    Ok(()) => snapshots.borrow_and_update().clone(),
                    Err(_) => return,
                },
            };
            let Some(snapshot) = latest else {
                continue;
            };
            let before = self.meshes.borrow().clone();
            let began = Instant::now();
            // A mesh that cannot be compiled must not end the one that is in force.
            let compiled = catch_unwind(AssertUnwindSafe(|| match &before {
                Some(mesh) => mesh::update(mesh, &snapshot),
                None => mesh::compile(&snapshot),
            }));
            let Ok((mesh, problems)) = compiled else {
                self.metrics.failed();
                error!("compiling the mesh failed, the previous one stays in force");
                continue;
            };
            self.metrics.compiled(began.elapsed());
            let problems: BTreeSet<Problem> = problems.into_iter().collect();
            if known != problems {
                for problem in problems.difference(&known) {
                    warn!("{problem}");
                }
                for gone in known.difference(&problems) {
                    info!("no longer so: {gone}");
                }
                self.said.send_replace(problems.iter().cloned().collect());
                known = problems;
            }
            self.meshes.send_replace(Some(Arc::new(mesh)));
        }
    }
}

#[cfg(test)]
mod tests;
