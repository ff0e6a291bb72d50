//! VirtualServices with names resolved and delegates merged. Which of their routes a proxy gets is
//! decided in `scope` (visibility) and `envoy` (conditions on the caller).

mod delegate;

use std::sync::Arc;

use api::networking::virtual_service::{Destination, RouteDestination, VirtualService};
use api::snapshot::{Object, Snapshot, Timestamp};
use base::{ObjectRef, Problem};

use crate::names::resolve;
use crate::{Visibility, ingress};

/// The gateway name that stands for all sidecars.
pub const MESH_GATEWAY: &str = "mesh";

/// A VirtualService, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// The root, then the delegates that it was merged from.
    pub origin: Vec<Arc<ObjectRef>>,
    /// Namespace of the root.
    pub namespace: String,
    /// Name of the root.
    pub name: String,
    /// When the root was made.
    pub created: Timestamp,
    /// Who sees it.
    pub visibility: Visibility,
    /// With hosts, gateways and destinations as full names.
    pub spec: VirtualService,
    /// What wrote it, which decides what a prefix of a path means.
    pub semantics: Semantics,
}

/// Who wrote a [`Routing`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Semantics {
    /// A VirtualService: a prefix is any beginning of a path.
    #[default]
    VirtualService,
    /// An Ingress: a prefix ends where an element of the path does.
    Ingress,
}

impl Routing {
    /// Where it stands among those that a namespace sees: what it exports to its own namespace goes
    /// first, then what is exported to this one by name, then what all see; `None` when unseen.
    pub fn rank(&self, client: &str) -> Option<u8> {
        match &self.visibility {
            Visibility::Public => Some(2),
            Visibility::Only(names) if names.contains(client) => {
                Some(if self.namespace == client { 0 } else { 1 })
            }
            Visibility::Only(_) => None,
        }
    }

    /// The order of ties: creation time, then name, then namespace.
    fn age(&self) -> (Timestamp, &str, &str) {
        (self.created, &self.name, &self.namespace)
    }

    /// Whether it applies to a gateway, [`MESH_GATEWAY`] for sidecars.
    pub fn is_for(&self, gateway: &str) -> bool {
        self.spec.gateways.iter().any(|name| name == gateway)
    }
}

/// All root VirtualServices, oldest first.
pub(crate) fn collect(snapshot: &Snapshot, domain: &str) -> (Vec<Arc<Routing>>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut found: Vec<&Arc<Object<VirtualService>>> = snapshot.virtual_services.values().collect();
    found.sort_by_key(|object| object.meta.age());
    let resolved: Vec<Routing> = found
        .iter()
        .map(|object| resolved(object, snapshot, domain))
        .collect();
    let is_root = |routing: &Routing| !routing.spec.hosts.is_empty();
    let mut merged: Vec<Arc<Routing>> = if resolved.iter().all(|own| delegate::is_whole(&own.spec))
    {
        let roots = resolved.into_iter().filter(is_root);
        roots.map(Arc::new).collect()
    } else {
        let roots = resolved.iter().filter(|routing| is_root(routing));
        roots
            .map(|root| Arc::new(delegate::merge(root, &resolved, &mut problems)))
            .collect()
    };
    merged.extend(
        ingress::routings(snapshot, domain)
            .into_iter()
            .map(Arc::new),
    );
    merged.sort_by(|a, b| a.age().cmp(&b.age()));
    (merged, problems)
}

/// The routings of a snapshot from those of one before, where what differs concerns no other VirtualService: neither
/// delegates nor Ingresses. `None` where all have to be made anew.
pub(crate) fn updated(
    routings: &[Arc<Routing>],
    before: &Snapshot,
    snapshot: &Snapshot,
    domain: &str,
) -> Option<Vec<Arc<Routing>>> {
    let alone = |of: &Snapshot| of.ingresses.is_empty();
    if !(Arc::ptr_eq(&before.mesh, &snapshot.mesh) && alone(before) && alone(snapshot)) {
        return None;
    }
    let mut found = routings.to_vec();
    let differing = snapshot
        .virtual_services
        .differing(&before.virtual_services);
    for (old, new) in differing {
        let both = old.into_iter().chain(new);
        if both.clone().any(|own| own.spec.hosts.is_empty())
            || both.clone().any(|own| !delegate::is_whole(&own.spec))
        {
            return None;
        }
        let mut known = None;
        if let Some(old) = old {
            let place = found.binary_search_by(|own| own.age().cmp(&old.meta.age()));
            known = Some(found.remove(place.ok()?));
        }
        if let Some(new) = new {
            let place = found.partition_point(|own| own.age() < new.meta.age());
            let made = resolved(new, snapshot, domain);
            let known = known.filter(|known| **known == made);
            found.insert(place, known.unwrap_or_else(|| Arc::new(made)));
        }
    }
    Some(found)
}

fn resolved(object: &Object<VirtualService>, snapshot: &Snapshot, domain: &str) -> Routing {
    let namespace = object.meta.namespace();
    let mut spec = object.spec.clone();
    let full = |host: &mut String| *host = resolve(host, namespace, domain);
    let destination = |destination: &mut Destination| full(&mut destination.host);
    spec.hosts.iter_mut().for_each(full);
    qualify(&mut spec.gateways, namespace);
    if spec.gateways.is_empty() {
        spec.gateways.push(MESH_GATEWAY.to_owned());
    }
    for route in &mut spec.http {
        route
            .r#match
            .iter_mut()
            .for_each(|m| qualify(&mut m.gateways, namespace));
        route
            .route
            .iter_mut()
            .for_each(|to| destination(&mut to.destination));
        route.mirror.iter_mut().for_each(destination);
        route
            .mirrors
            .iter_mut()
            .for_each(|to| destination(&mut to.destination));
        if let Some(delegate) = &mut route.delegate
            && delegate.namespace.is_empty()
        {
            delegate.namespace = namespace.to_owned();
        }
    }
    let opaque = |routes: &mut Vec<RouteDestination>| {
        routes
            .iter_mut()
            .for_each(|to| destination(&mut to.destination));
    };
    for route in &mut spec.tls {
        route
            .r#match
            .iter_mut()
            .for_each(|m| qualify(&mut m.gateways, namespace));
        opaque(&mut route.route);
    }
    for route in &mut spec.tcp {
        route
            .r#match
            .iter_mut()
            .for_each(|m| qualify(&mut m.gateways, namespace));
        opaque(&mut route.route);
    }
    let default = &snapshot.mesh.default_virtual_service_export_to;
    Routing {
        origin: vec![object.meta.reference.clone()],
        namespace: namespace.to_owned(),
        name: object.meta.name().to_owned(),
        created: object.meta.created,
        visibility: Visibility::of(&spec.export_to, default, namespace),
        spec,
        semantics: Semantics::default(),
    }
}

/// Gateways as `namespace/name`.
fn qualify(gateways: &mut [String], namespace: &str) {
    for gateway in gateways {
        if gateway == MESH_GATEWAY {
            continue;
        }
        *gateway = match gateway.split_once('/') {
            Some((".", name)) => format!("{namespace}/{name}"),
            Some(_) => continue,
            None => match gateway.split('.').collect::<Vec<_>>()[..] {
                // An old form: name.namespace.svc.cluster.local
                [name, of, ..] => format!("{of}/{name}"),
                _ => format!("{namespace}/{gateway}"),
            },
        };
    }
}
