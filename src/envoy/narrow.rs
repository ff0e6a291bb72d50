//! Parts of a scope: what one kind of resources is made from, and nothing else. A derivation that is
//! given a part cannot depend on the rest, so its result may be kept by that part.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use api::networking::sidecar::OutboundMode;
use api::snapshot::Locality;
use mesh::{Egress, GatewayView, Inbound, Mode, Outbound, Scope, Security, Telemetry, Workload};

use crate::memo::{Memo, Same};
use crate::route::domains::Caller;

static NOTHING_CALLED: LazyLock<Arc<Outbound>> = LazyLock::new(|| Arc::new(nothing_called()));
static NOTHING_SERVED: LazyLock<Arc<Inbound>> = LazyLock::new(|| {
    Arc::new(Inbound {
        ports: Vec::new(),
        mode: Mode::Permissive,
        port_modes: Default::default(),
        modes_origin: Vec::new(),
    })
});
static NOBODY_TOLD: LazyLock<Arc<Telemetry>> = LazyLock::new(Arc::default);
static NO_GATEWAY: LazyLock<Arc<GatewayView>> = LazyLock::new(Arc::default);
static NOTHING_DECIDED: LazyLock<Arc<Security>> = LazyLock::new(Arc::default);
/// A gateway that passes the mesh's mTLS on has a second cluster of each service.
static PASSES_MESH: LazyLock<Arc<GatewayView>> = LazyLock::new(|| {
    Arc::new(GatewayView {
        passes_mesh: true,
        ..GatewayView::default()
    })
});

fn nothing_called() -> Outbound {
    Outbound {
        services: Vec::new(),
        by_host: Default::default(),
        views: Vec::new(),
        policy: OutboundMode::AllowAny,
        egress_proxy: None,
        sidecar: None,
    }
}

/// What clusters of services depend on beside the service: the mesh and the kind of proxy, and its
/// place for those that depend on it.
pub(crate) fn for_clusters(scope: &Scope, memo: &Memo, place: bool) -> Same<Scope> {
    let own = &scope.workload;
    let mut workload = Workload {
        namespace: String::new(),
        labels: Default::default(),
        dns_domain: String::new(),
        mesh_id: String::new(),
        name: String::new(),
        locality: Locality::default(),
        node: String::new(),
        traced_as: Default::default(),
        ..Workload::clone(own)
    };
    if place {
        workload.labels = own.labels.clone();
        workload.locality = own.locality.clone();
        workload.node = own.node.clone();
    }
    // Always the same values, by whose addresses parts are known to be alike.
    let gateways = match scope.gateways.passes_mesh {
        true => &PASSES_MESH,
        false => &NO_GATEWAY,
    };
    memo.scope(Scope {
        outbound: NOTHING_CALLED.clone(),
        workload: workload.into(),
        gateways: LazyLock::force(gateways).clone(),
        ..bare(scope)
    })
}

/// What the set of these clusters depends on: the services.
pub(crate) fn for_cluster_set(part: &Same<Scope>, scope: &Scope, memo: &Memo) -> Same<Scope> {
    let outbound = memo.outbound(Outbound {
        services: scope.outbound.services.clone(),
        by_host: scope.outbound.by_host.clone(),
        ..nothing_called()
    });
    memo.scope(Scope {
        outbound,
        ..Scope::clone(&part.0)
    })
}

/// What clusters depend on that are no service's: the workload and what it serves.
pub(crate) fn for_own_clusters(scope: &Scope, memo: &Memo) -> Same<Scope> {
    memo.scope(Scope {
        outbound: memo.outbound(Outbound {
            policy: scope.outbound.policy,
            ..nothing_called()
        }),
        inbound: scope.inbound.clone(),
        workload: scope.workload.clone(),
        ..bare(scope)
    })
}

/// What listeners depend on: all but rules for HTTP.
pub(crate) fn for_listeners(scope: &Scope, memo: &Memo) -> Same<Scope> {
    let has_rules = |view: &Arc<Egress>| !view.routings.is_empty();
    if !scope.outbound.views.iter().any(has_rules) {
        return memo.scope(Scope {
            outbound: memo.outbound(scope.outbound.clone()),
            ..scope.clone()
        });
    }
    let views = scope.outbound.views.iter().map(|view| {
        let routings = view.routings.iter();
        Arc::new(Egress {
            routings: routings
                .filter_map(|routing| memo.opaque(routing))
                .collect(),
            ..Egress::clone(view)
        })
    });
    let outbound = memo.outbound(Outbound {
        views: views.collect(),
        ..Outbound::clone(&scope.outbound)
    });
    memo.scope(Scope {
        outbound,
        ..scope.clone()
    })
}

/// What routes depend on: what is called, and of the caller its namespace and the labels by which
/// any rule tells callers apart.
pub(crate) fn for_routes(scope: &Scope, memo: &Memo) -> Same<Scope> {
    let own = &scope.workload;
    let views = scope.outbound.views.iter();
    let rules = views
        .flat_map(|view| &view.routings)
        .flat_map(|routing| &routing.spec.http);
    let of_gateways = scope.gateways.routes.values().flatten();
    let of_gateways = of_gateways
        .flat_map(|server| &server.routings)
        .flat_map(|routing| &routing.spec.http);
    let telling: BTreeSet<&String> = rules
        .chain(of_gateways)
        .flat_map(|rule| &rule.r#match)
        .flat_map(|condition| condition.source_labels.keys())
        .collect();
    let labels = own.labels.iter().filter(|(key, _)| telling.contains(key));
    memo.scope(Scope {
        outbound: scope.outbound.clone(),
        gateways: scope.gateways.clone(),
        workload: Arc::new(Workload {
            labels: labels.map(|(k, v)| (k.clone(), v.clone())).collect(),
            name: String::new(),
            locality: Locality::default(),
            node: String::new(),
            traced_as: Default::default(),
            ..Workload::clone(own)
        }),
        ..bare(scope)
    })
}

/// What the forms of a service's name depend on: which names are short for the caller, and which
/// addresses it can use. By value, so that no other setting of the mesh makes them anew.
pub(crate) fn for_domains(scope: &Scope) -> Caller {
    Caller {
        dns_domain: scope.workload.dns_domain.clone(),
        absolute_names: scope.features.absolute_names,
        reach: scope.reach(),
    }
}

/// What the table of names depends on.
pub(crate) fn for_names(scope: &Scope, memo: &Memo) -> Same<Scope> {
    let part = for_clusters(scope, memo, false);
    let views = scope.outbound.views.iter().map(|view| {
        Arc::new(Egress {
            routings: Vec::new(),
            ..Egress::clone(view)
        })
    });
    let outbound = memo.outbound(Outbound {
        views: views.collect(),
        ..nothing_called()
    });
    memo.scope(Scope {
        outbound,
        ..Scope::clone(&part.0)
    })
}

/// The mesh and the kind of proxy only.
fn bare(scope: &Scope) -> Scope {
    Scope {
        outbound: NOTHING_CALLED.clone(),
        inbound: NOTHING_SERVED.clone(),
        gateways: NO_GATEWAY.clone(),
        security: NOTHING_DECIDED.clone(),
        telemetry: NOBODY_TOLD.clone(),
        own_addresses: Vec::new(),
        ..scope.clone()
    }
}
