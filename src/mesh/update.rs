//! The mesh after another: a table is made anew only where one that it is made from is another
//! version, and of a table that is made anew every part that stayed equal stays the same value, so
//! that what comes after sees by comparing pointers what changed.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, LazyLock};

use api::features::KeyFetching;
use api::snapshot::Snapshot;
use base::Problem;

use crate::compile::DOMAIN;
use crate::providers::Directory;
use crate::{
    Mesh, authorization, authorizers, gateways, mutual_tls, routes, services, telemetry,
    traffic_policy, visibility,
};

/// Settings without objects: what every table may be made from.
fn settings(of: &Snapshot) -> Snapshot {
    // Making the default settings anew takes longer than many a mesh.
    static NOTHING: LazyLock<Snapshot> = LazyLock::new(Snapshot::default);
    Snapshot {
        mesh: of.mesh.clone(),
        features: of.features.clone(),
        networks: of.networks.clone(),
        ..NOTHING.clone()
    }
}

/// The tables that services are made from.
pub(crate) fn for_services(of: &Snapshot) -> Snapshot {
    Snapshot {
        namespaces: of.namespaces.clone(),
        services: of.services.clone(),
        service_entries: of.service_entries.clone(),
        accounts: of.accounts.clone(),
        mutual_ports: of.mutual_ports.clone(),
        spelled_out: of.spelled_out.clone(),
        ..settings(of)
    }
}

/// The tables that routes are made from.
pub(crate) fn for_routes(of: &Snapshot) -> Snapshot {
    Snapshot {
        virtual_services: of.virtual_services.clone(),
        ingresses: of.ingresses.clone(),
        ingress_classes: of.ingress_classes.clone(),
        // An Ingress may name a port of a Service.
        services: if of.ingresses.is_empty() {
            Default::default()
        } else {
            of.services.clone()
        },
        ..settings(of)
    }
}

/// The tables that gateways are made from.
pub(crate) fn for_gateways(of: &Snapshot) -> Snapshot {
    Snapshot {
        gateways: of.gateways.clone(),
        ingresses: of.ingresses.clone(),
        ingress_classes: of.ingress_classes.clone(),
        ..settings(of)
    }
}

/// The tables that traffic policies are made from.
pub(crate) fn for_rules(of: &Snapshot) -> Snapshot {
    Snapshot {
        destination_rules: of.destination_rules.clone(),
        ..settings(of)
    }
}

/// The tables that mTLS modes are made from.
pub(crate) fn for_modes(of: &Snapshot) -> Snapshot {
    Snapshot {
        peer_authentications: of.peer_authentications.clone(),
        ..settings(of)
    }
}

/// The tables that policies about calls are made from.
pub(crate) fn for_policies(of: &Snapshot) -> Snapshot {
    Snapshot {
        authorization_policies: of.authorization_policies.clone(),
        request_authentications: of.request_authentications.clone(),
        key_sets: of.key_sets.clone(),
        ..settings(of)
    }
}

/// The table that telemetry is made from, beside where the services of providers are.
pub(crate) fn for_telemetry(of: &Snapshot) -> Snapshot {
    Snapshot {
        telemetries: of.telemetries.clone(),
        ..settings(of)
    }
}

/// The mesh of `snapshot`, with the problems of all of it. Equals [`compile`](crate::compile()) of
/// the same snapshot, and costs what changed since the snapshot of `mesh`.
///
/// What changed is seen from the tables' versions; nobody has to tell, and snapshots in between
/// may have been skipped.
pub fn update(mesh: &Mesh, snapshot: &Snapshot) -> (Mesh, Vec<Problem>) {
    let snapshot = visibility::discovered(snapshot).into_owned();
    let before = &mesh.snapshot;
    let mut after = mesh.clone();
    let of = for_services(&snapshot);
    let known = for_services(before);
    if !of.is(&known) {
        let few = services::updated(&mesh.services, &known, &of, DOMAIN);
        after.services = few.unwrap_or_else(|| {
            let services = services::collect(&of, DOMAIN);
            adopted(&mesh.services, services, |service| service.id.clone())
        });
    }
    let of = for_routes(&snapshot);
    let known = for_routes(before);
    if !of.is(&known) {
        match routes::updated(&mesh.routings, &known, &of, DOMAIN) {
            Some(routings) => after.routings = routings,
            None => {
                let (routings, problems) = routes::collect(&of, DOMAIN);
                let name =
                    |routing: &crate::Routing| (routing.namespace.clone(), routing.name.clone());
                after.routings = adopted(&mesh.routings, routings, name);
                after.problems = problems.into();
            }
        }
    }
    let of = for_gateways(&snapshot);
    if !of.is(&for_gateways(before)) {
        let found = gateways::collect(&of);
        after.gateways = adopted(&mesh.gateways, found, |gateway| gateway.meta.key());
    }
    let of = for_rules(&snapshot);
    if !of.is(&for_rules(before)) {
        let rules = traffic_policy::collect(&of, DOMAIN);
        if rules != *mesh.rules {
            after.rules = rules.into();
        }
    }
    let of = for_modes(&snapshot);
    if !of.is(&for_modes(before)) {
        let modes = mutual_tls::collect(&of);
        if modes != *mesh.modes {
            after.modes = modes.into();
        }
    }
    let of = for_policies(&snapshot);
    if !of.is(&for_policies(before)) {
        let policies = authorization::collect(&of);
        if policies != *mesh.policies {
            after.policies = policies.into();
        }
    }
    if !same_or_equal(&snapshot.mesh, &mesh.config) {
        after.config = snapshot.mesh.clone();
    }
    let places = Directory::of(&after.config, &after.services);
    let moved = !all_same(&after.services, &mesh.services)
        && places != Directory::of(&mesh.config, &mesh.services);
    let of = for_telemetry(&snapshot);
    if moved || !of.is(&for_telemetry(before)) {
        let telemetry = telemetry::collect(&of, &places);
        if telemetry != *mesh.telemetry {
            after.telemetry = telemetry.into();
        }
    }
    if moved || !Arc::ptr_eq(&after.config, &mesh.config) {
        let authorizers = authorizers::collect(&after.config, &places);
        if authorizers != *mesh.authorizers {
            after.authorizers = authorizers.into();
        }
    }
    let modes = snapshot
        .peer_authentications
        .is(&before.peer_authentications);
    // Which issuers' keys proxies fetch by themselves may follow from which hosts there are.
    let features = &snapshot.features;
    let fetchers = Arc::ptr_eq(features, &before.features)
        && (features.key_fetching != KeyFetching::Hybrid
            || all_same(&after.services, &mesh.services));
    after.snapshot = snapshot;
    let judged = fetchers
        && Arc::ptr_eq(&after.policies, &mesh.policies)
        && Arc::ptr_eq(&after.authorizers, &mesh.authorizers);
    if !(judged && modes) {
        after.unsafe_policies = authorization::problems(&after).into();
    }
    let problems = after.problems();
    (after, problems)
}

/// The new values, those that were there before as the same values.
pub(crate) fn adopted<T: PartialEq, K: Eq + Hash>(
    before: &[Arc<T>],
    mut after: Vec<Arc<T>>,
    key: impl Fn(&T) -> K,
) -> Vec<Arc<T>> {
    let mut moved: Option<HashMap<K, Vec<&Arc<T>>>> = None;
    for (place, value) in after.iter_mut().enumerate() {
        let beside = before.get(place);
        if let Some(known) = beside.filter(|known| same_or_equal(known, value)) {
            *value = known.clone();
            continue;
        }
        let moved = moved.get_or_insert_with(|| {
            let mut by_key: HashMap<K, Vec<&Arc<T>>> = HashMap::new();
            for known in before {
                by_key.entry(key(known)).or_default().push(known);
            }
            by_key
        });
        let candidates = moved.get(&key(value)).into_iter().flatten();
        let known = candidates
            .into_iter()
            .find(|known| same_or_equal(known, value));
        if let Some(known) = known {
            *value = Arc::clone(known);
        }
    }
    after
}

fn all_same<T>(a: &[Arc<T>], b: &[Arc<T>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}

pub(crate) fn same_or_equal<T: PartialEq>(a: &Arc<T>, b: &Arc<T>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}
