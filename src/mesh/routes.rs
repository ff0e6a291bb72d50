//! VirtualServices with names resolved and delegates merged. Which of their routes a proxy gets is
//! decided in `scope` (visibility) and `envoy` (conditions on the caller).

mod delegate;

use std::sync::Arc;

use api::networking::virtual_service::{Destination, RouteDestination, VirtualService};
use api::snapshot::{Object, Snapshot, Timestamp};
use base::{ObjectRef, Problem};

use crate::Visibility;
use crate::names::resolve;

/// The gateway name that stands for all sidecars.
pub const MESH_GATEWAY: &str = "mesh";

/// A VirtualService, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// The root, then the delegates that it was merged from.
    pub origin: Vec<ObjectRef>,
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
}

impl Routing {
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
    let roots = resolved
        .iter()
        .filter(|routing| !routing.spec.hosts.is_empty());
    let merged = roots
        .map(|root| Arc::new(delegate::merge(root, &resolved, &mut problems)))
        .collect();
    (merged, problems)
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
    }
}

/// Gateways as `namespace/name`; those of another form stay.
fn qualify(gateways: &mut [String], namespace: &str) {
    for gateway in gateways {
        if gateway == MESH_GATEWAY || gateway.contains('/') {
            continue;
        }
        *gateway = match gateway.split('.').collect::<Vec<_>>()[..] {
            // An old form: name.namespace.svc.cluster.local
            [name, of, ..] => format!("{of}/{name}"),
            _ => format!("{namespace}/{gateway}"),
        };
    }
}
