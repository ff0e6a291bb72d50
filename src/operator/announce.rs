//! Events on the IstioOperator: what was applied, restored, repaired, pruned. An Event that cannot
//! be written is logged and forgotten; status carries everything that matters.

use base::ObjectRef;
use install::Component;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::api::DynamicObject;
use kube::runtime::events::{Event, EventType};

use crate::context::Context;
use crate::watch::operator_resource;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Objects of this component were created or changed because the specification says so.
    Applied(Component),
    /// A deleted object was created again.
    Restored,
    /// An edited object was brought back.
    Repaired,
    /// An object that someone else had made was taken over.
    Adopted,
    /// An object that is rendered no longer was deleted.
    Pruned,
    /// A deletion waits.
    Waiting,
    /// All objects of the IstioOperator are gone.
    Deleted,
    /// The deletion ended with objects left.
    LeftBehind,
    /// The specification has errors.
    InvalidSpec,
}

impl News {
    fn reason(self) -> &'static str {
        match self {
            News::Applied(_) => "Applied",
            News::Restored => "Restored",
            News::Repaired => "Repaired",
            News::Adopted => "Adopted",
            News::Pruned => "Pruned",
            News::Waiting => "WaitingToEnd",
            News::Deleted => "Deleted",
            News::LeftBehind => "LeftBehind",
            News::InvalidSpec => "InvalidSpec",
        }
    }

    /// Events that agree in reason, action and objects are counted as one, so what has to stay
    /// apart differs here.
    fn action(self) -> String {
        match self {
            News::Applied(component) => format!("Apply{}", component.as_str()),
            _ => "Reconcile".to_owned(),
        }
    }

    fn weight(self) -> EventType {
        match self {
            News::Applied(_) | News::Adopted | News::Pruned | News::Deleted => EventType::Normal,
            News::Restored
            | News::Repaired
            | News::Waiting
            | News::LeftBehind
            | News::InvalidSpec => EventType::Warning,
        }
    }
}

/// Publishes an Event about `cr`, and about `object` where one is concerned.
pub async fn announce(
    ctx: &Context,
    cr: &DynamicObject,
    news: News,
    object: Option<&ObjectRef>,
    note: String,
) {
    tracing::info!(reason = news.reason(), "{note}");
    let event = Event {
        type_: news.weight(),
        reason: news.reason().to_owned(),
        note: Some(shortened(note)),
        action: news.action(),
        secondary: object.map(|object| ObjectReference {
            api_version: Some(object.api_version.clone()),
            kind: Some(object.kind.clone()),
            namespace: object.namespace.clone(),
            name: Some(object.name.clone()),
            ..ObjectReference::default()
        }),
    };
    let regarding = cr.object_ref(&operator_resource());
    if let Err(error) = ctx.recorder.publish(&event, &regarding).await {
        tracing::debug!(%error, "an event could not be written");
    }
}

/// The API takes notes of up to 1 kB.
fn shortened(mut note: String) -> String {
    let mut end = note.len().min(1000);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note.truncate(end);
    note
}
