//! From a snapshot to a mesh. Every object is judged by itself: a bad one is a Problem and hides
//! no good one.

use api::snapshot::Snapshot;
use base::Problem;

use crate::{Mesh, mutual_tls, routes, services, traffic_policy};

/// The domain of the cluster.
const DOMAIN: &str = "cluster.local";

/// Resolves all relations of a snapshot. Same snapshot, same mesh.
pub fn compile(snapshot: &Snapshot) -> (Mesh, Vec<Problem>) {
    let (routings, problems) = routes::collect(snapshot, DOMAIN);
    let mesh = Mesh {
        snapshot: snapshot.clone(),
        config: snapshot.mesh.clone(),
        domain: DOMAIN.to_owned(),
        services: services::collect(snapshot, DOMAIN),
        routings,
        rules: traffic_policy::collect(snapshot, DOMAIN),
        modes: mutual_tls::collect(snapshot).into(),
    };
    (mesh, problems)
}
