//! From a snapshot to a mesh. Every object is judged by itself: a bad one is a Problem and hides
//! no good one.

use api::snapshot::Snapshot;
use base::Problem;

use crate::update::{for_gateways, for_modes, for_routes, for_rules, for_services};
use crate::{Mesh, gateways, mutual_tls, routes, services, traffic_policy, visibility};

/// The domain of the cluster.
pub(crate) const DOMAIN: &str = "cluster.local";

/// Resolves all relations of a snapshot. Same snapshot, same mesh.
///
/// Each table is made of a snapshot that holds nothing but what [`update`](crate::update()) watches
/// for it, so that neither can read more than the other knows of.
pub fn compile(snapshot: &Snapshot) -> (Mesh, Vec<Problem>) {
    let snapshot = visibility::discovered(snapshot).into_owned();
    let (routings, problems) = routes::collect(&for_routes(&snapshot), DOMAIN);
    let mesh = Mesh {
        config: snapshot.mesh.clone(),
        domain: DOMAIN.to_owned(),
        services: services::collect(&for_services(&snapshot), DOMAIN),
        routings,
        gateways: gateways::collect(&for_gateways(&snapshot)),
        rules: traffic_policy::collect(&for_rules(&snapshot), DOMAIN).into(),
        modes: mutual_tls::collect(&for_modes(&snapshot)).into(),
        problems: problems.clone().into(),
        snapshot,
    };
    (mesh, problems)
}
