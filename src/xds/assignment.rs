//! Endpoints of clusters, for all proxies that choose them by the same views: a changed host costs its own
//! clusters only, once.

use std::sync::Arc;

use api::snapshot::{HostEndpoints, HostId, World};
use envoy::{EndpointView, Views};
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use proto::codec::{encode_endpoint, type_url};

use crate::{Resource, Table};

/// All assignments that are in use.
#[derive(Debug, Default)]
pub(crate) struct Assignments {
    made: Vec<Assignment>,
}

/// Assignments of one set of views.
#[derive(Clone, Debug, Default)]
struct Assignment {
    views: Views,
    /// Clusters by the host whose endpoints they have.
    by_host: OrdMap<HostId, Vec<Arc<str>>>,
    /// The endpoints that were assigned last.
    endpoints: OrdMap<HostId, Arc<HostEndpoints>>,
    table: Table,
    used: bool,
}

impl Assignments {
    /// The assignments that these views make of the endpoints of this moment.
    pub fn table(&mut self, views: &Views, world: &World) -> Table {
        let known = self.made.iter_mut().find(|made| made.views.ptr_eq(views));
        if let Some(known) = known {
            return known.current(world);
        }
        // Most likely these views differ little from those that came last.
        let mut made = self.made.last().cloned().unwrap_or_default();
        made.change_views(views, world);
        let table = made.current(world);
        self.made.push(made);
        table
    }

    /// Forgets what was not asked for since the last time.
    pub fn sweep(&mut self) {
        self.made.retain_mut(|made| std::mem::take(&mut made.used));
    }
}

impl Assignment {
    fn change_views(&mut self, views: &Views, world: &World) {
        self.current(world);
        let before = std::mem::replace(&mut self.views, views.clone());
        for item in before.diff(views) {
            let (old, new) = match item {
                DiffItem::Add(name, view) => (None, Some((name, view))),
                DiffItem::Remove(name, view) => (Some((name, view)), None),
                DiffItem::Update { old, new } => (Some(old), Some(new)),
            };
            if let Some((name, view)) = old {
                let mut of_host = self.by_host.get(&view.host).cloned().unwrap_or_default();
                of_host.retain(|known| known != name);
                if of_host.is_empty() {
                    self.by_host.remove(&view.host);
                } else {
                    self.by_host.insert(view.host.clone(), of_host);
                }
                if new.is_none() {
                    self.table.remove(name);
                }
            }
            if let Some((name, view)) = new {
                let mut of_host = self.by_host.get(&view.host).cloned().unwrap_or_default();
                of_host.push(name.clone());
                self.by_host.insert(view.host.clone(), of_host);
                self.table.insert(assigned(name, view, world));
            }
        }
    }

    fn current(&mut self, world: &World) -> Table {
        self.used = true;
        if self.endpoints.ptr_eq(world.endpoints()) {
            return self.table.clone();
        }
        let before = std::mem::replace(&mut self.endpoints, world.endpoints().clone());
        for item in before.diff(&self.endpoints) {
            let (DiffItem::Add(host, _)
            | DiffItem::Remove(host, _)
            | DiffItem::Update { new: (host, _), .. }) = item;
            for cluster in self.by_host.get(host).into_iter().flatten() {
                let made = assigned(cluster, &self.views[cluster], world);
                self.table.insert(made);
            }
        }
        self.table.clone()
    }
}

fn assigned(cluster: &Arc<str>, view: &EndpointView, world: &World) -> Arc<Resource> {
    let none = HostEndpoints::default();
    let endpoints = world
        .endpoints()
        .get(&view.host)
        .map_or(&none, |known| known);
    let bytes = encode_endpoint(&envoy::assign(view, endpoints));
    let made = Resource::new(type_url::ENDPOINT, cluster.clone(), &bytes, Vec::new());
    Arc::new(made)
}

#[cfg(test)]
mod tests;
