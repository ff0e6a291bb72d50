//! Where passes come from: watches on IstioOperators, and on everything that carries our labels.
//! Objects are watched by label and by metadata alone where that is enough; what is kept of them
//! is the inventory. A watch that fails is retried with backoff and resumes where it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use install::{Component, Owner};
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::core::ApiResource;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, reflector};
use kube::{Api, Resource};
use rollout::kind::{Depth, KINDS};
use rollout::{Kind, Live};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::context::{Context, owner_of};
use crate::hosted::HostedBy;
use crate::metrics::{KindLabels, ReasonLabels};

/// A request to look at an IstioOperator.
pub type Wake = ObjectRef<DynamicObject>;

/// The IstioOperator kind. It is watched dynamically and parsed by `api`, so that one malformed
/// resource neither stops the watch nor loses its error.
pub fn operator_resource() -> ApiResource {
    ApiResource {
        group: "install.istio.io".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "install.istio.io/v1alpha1".to_owned(),
        kind: "IstioOperator".to_owned(),
        plural: "istiooperators".to_owned(),
    }
}

/// Watches IstioOperators: each event asks for a pass over its resource, and the end of one for a
/// pass over all others, which may take over what it shared with them.
pub async fn operators(
    ctx: &Arc<Context>,
    writer: Writer<DynamicObject>,
    wake: &mpsc::Sender<Wake>,
) {
    let resource = operator_resource();
    let api: Api<DynamicObject> = match ctx.settings.watch_namespace.as_str() {
        "" => Api::all_with(ctx.client.clone(), &resource),
        namespace => Api::namespaced_with(ctx.client.clone(), namespace, &resource),
    };
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let mut events = std::pin::pin!(reflector(writer, events));
    while let Some(event) = events.next().await {
        let concerned: Vec<Owner> = match event {
            Ok(Event::Apply(cr)) => vec![owner_of(&cr)],
            Ok(Event::Delete(cr)) => {
                ctx.forget(&owner_of(&cr));
                all(ctx)
            }
            Ok(Event::InitDone) => all(ctx),
            Ok(Event::Init | Event::InitApply(_)) => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "the watch on IstioOperators failed, retrying");
                let reason = answered(&error).map_or("Unknown".to_owned(), |code| code.to_string());
                let failed = &ctx.metrics.fetch_errors;
                failed.get_or_create(&ReasonLabels { reason }).inc();
                Vec::new()
            }
        };
        for owner in concerned {
            ask(wake, &owner).await;
        }
    }
}

/// The HTTP status that a watch failed with.
fn answered(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

/// Asks for a pass over every IstioOperator when something changes about what this process hosts.
pub async fn host(ctx: &Context, hosted_by: Option<HostedBy>, wake: &mpsc::Sender<Wake>) {
    let Some(mut hosted_by) = hosted_by else {
        return std::future::pending().await;
    };
    loop {
        hosted_by.changed().await;
        for owner in all(ctx) {
            ask(wake, &owner).await;
        }
    }
}

fn all(ctx: &Context) -> Vec<Owner> {
    ctx.operators().iter().map(|cr| owner_of(cr)).collect()
}

async fn ask(wake: &mpsc::Sender<Wake>, owner: &Owner) {
    // The receiver ends only with the operator itself.
    let _ = wake.send(wake_for(owner)).await;
}

/// The request for a pass over an IstioOperator.
pub fn wake_for(owner: &Owner) -> Wake {
    ObjectRef::new_with(&owner.name, operator_resource()).within(&owner.namespace)
}

/// Watches every kind that an installation can consist of, and keeps the inventory by it. Each
/// change that matters asks for a pass over its owner. `synced` is told when every kind has been
/// listed once.
pub async fn objects(ctx: &Arc<Context>, wake: &mpsc::Sender<Wake>, synced: oneshot::Sender<()>) {
    let mut synced = Some(synced);
    let mut missing: BTreeSet<usize> = KINDS.iter().map(Kind::rank).collect();
    let mut events: SelectAll<_> = KINDS.iter().map(|kind| of_kind(ctx, kind)).collect();
    while let Some((kind, event)) = events.next().await {
        let (concerned, listed) = take_in(ctx, kind, event);
        if listed && missing.remove(&kind.rank()) && missing.is_empty() {
            let _ = synced.take().map(|synced| synced.send(()));
        }
        for owner in concerned {
            ask(wake, &owner).await;
        }
    }
}

type Events = BoxStream<'static, (&'static Kind, watcher::Result<Event<Live>>)>;

fn of_kind(ctx: &Context, kind: &'static Kind) -> Events {
    let resource = kind.api_resource();
    let config = watcher::Config::default().labels(&rollout::gather::selector(kind));
    match kind.depth {
        Depth::Metadata => {
            let api: Api<PartialObjectMeta> = Api::all_with(ctx.client.clone(), &resource);
            watcher(api, config)
                .default_backoff()
                .map(move |event| (kind, event.map(|event| live(kind, event, |_| &Value::Null))))
                .boxed()
        }
        Depth::Status => {
            let api: Api<DynamicObject> = Api::all_with(ctx.client.clone(), &resource);
            watcher(api, config)
                .default_backoff()
                .map(move |event| (kind, event.map(|event| live(kind, event, |cr| &cr.data))))
                .boxed()
        }
    }
}

fn live<K: Resource>(kind: &Kind, event: Event<K>, content: impl Fn(&K) -> &Value) -> Event<Live> {
    let of = |object: K| Live::of(kind, object.meta(), content(&object));
    match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(object) => Event::InitApply(of(object)),
        Event::Apply(object) => Event::Apply(of(object)),
        Event::Delete(object) => Event::Delete(of(object)),
    }
}

/// Whether this is where proxies find a control plane, wherever its pods are. Gateways of other
/// IstioOperators may hang on it.
pub fn serves(live: &Live) -> bool {
    live.reference.kind == "Service" && live.component.as_deref() == Some(Component::Pilot.as_str())
}

/// Returns whom an event concerns, and whether the kind is completely known now.
fn take_in(
    ctx: &Context,
    kind: &'static Kind,
    event: watcher::Result<Event<Live>>,
) -> (Vec<Owner>, bool) {
    let mut inventory = ctx.inventory();
    let one_by_one = matches!(event, Ok(Event::Init | Event::InitApply(_)));
    let result = match event {
        Ok(Event::Init) => {
            inventory.begin(kind);
            (Vec::new(), false)
        }
        Ok(Event::InitApply(live) | Event::Apply(live)) => {
            let appeared = serves(&live) && inventory.get(&live.reference).is_none();
            let concerned = inventory.observe(live);
            match appeared {
                true => (all(ctx), false),
                false => (concerned, false),
            }
        }
        Ok(Event::Delete(gone)) => match (inventory.forget(&gone), serves(&gone)) {
            (Some(_), true) => (all(ctx), false),
            (owner, _) => (owner.into_iter().collect(), false),
        },
        Ok(Event::InitDone) => (inventory.finish(kind), true),
        Err(watcher::Error::InitialListFailed(kube::Error::Api(status))) if status.code == 404 => {
            // An API server that does not know the kind has no objects of it.
            tracing::debug!(kind = kind.kind, "not served by this API server");
            (inventory.finish(kind), true)
        }
        Err(error) => {
            tracing::warn!(kind = kind.kind, %error, "a watch failed, retrying");
            (Vec::new(), false)
        }
    };
    // A listing is counted at its end.
    if !one_by_one {
        let all = inventory.iter();
        let owned = all.filter(|live| live.reference.kind == kind.kind).count();
        let kind = kind.kind.to_owned();
        let gauge = ctx.metrics.owned.get_or_create_owned(&KindLabels { kind });
        gauge.set(i64::try_from(owned).unwrap_or(i64::MAX));
    }
    result
}
