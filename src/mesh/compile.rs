//! From a snapshot to a mesh. Every object is judged by itself: a bad one is a Problem and hides
//! no good one.

use std::sync::Arc;

use api::snapshot::Snapshot;
use base::Problem;

use crate::providers::Directory;
use crate::update::{
    for_gateways, for_modes, for_policies, for_routes, for_rules, for_services, for_telemetry,
};
use crate::{
    Mesh, authorization, authorizers, gateways, mutual_tls, routes, services, telemetry,
    traffic_policy, visibility,
};

/// The domain of the cluster.
pub(crate) const DOMAIN: &str = "cluster.local";

/// Resolves all relations of a snapshot. Same snapshot, same mesh.
///
/// Each table is made of a snapshot that holds nothing but what [`update`](crate::update()) watches
/// for it, so that neither can read more than the other knows of.
pub fn compile(snapshot: &Snapshot) -> (Mesh, Vec<Problem>) {
    let snapshot = visibility::discovered(snapshot).into_owned();
    let (routings, problems) = routes::collect(&for_routes(&snapshot), DOMAIN);
    let services = services::collect(&for_services(&snapshot), DOMAIN);
    let places = Directory::of(&snapshot.mesh, &services);
    let telemetry = telemetry::collect(&for_telemetry(&snapshot), &places);
    let mut mesh = Mesh {
        config: snapshot.mesh.clone(),
        domain: DOMAIN.to_owned(),
        authorizers: authorizers::collect(&snapshot.mesh, &places).into(),
        services,
        routings,
        gateways: gateways::collect(&for_gateways(&snapshot)),
        rules: traffic_policy::collect(&for_rules(&snapshot), DOMAIN).into(),
        modes: mutual_tls::collect(&for_modes(&snapshot)).into(),
        policies: authorization::collect(&for_policies(&snapshot)).into(),
        telemetry: telemetry.into(),
        problems: problems.into(),
        unsafe_policies: Arc::default(),
        snapshot,
    };
    mesh.unsafe_policies = authorization::problems(&mesh).into();
    let problems = mesh.problems();
    (mesh, problems)
}
