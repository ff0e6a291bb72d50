//! Server-side apply of one object, with one field manager and force. The order of objects and
//! whether a write is needed at all are the caller's business.
//!
//! A list whose items have keys (ports, containers) is merged by key: when someone edits the key
//! of our item, an apply adds ours beside theirs, and the API server may refuse the pair for as
//! long as it stands. Such an object is mended: our lists are put in place whole.

use std::fmt::Debug;

use base::{ObjectRef, labels};
use install::Object;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::bounded;
use crate::{Error, Kind, Live};

/// Applies `object` and returns what the cluster then has. Its namespace is created when absent;
/// namespaces are never deleted by this crate.
pub async fn apply(client: &Client, object: &Object) -> Result<Live, Error> {
    let reference = &object.reference;
    let kind = Kind::of(reference).ok_or_else(|| Error::UnknownKind {
        object: reference.clone(),
    })?;
    let target = Target {
        reference,
        api: kind.api(client, reference),
    };
    let force = PatchParams::apply(labels::FIELD_MANAGER).force();
    let body = Patch::Apply(&object.body);
    let mut answer = target.patch(&force, &body).await;
    if let (Err(Error::Apply { source, .. }), Some(namespace)) = (&answer, &reference.namespace)
        && lacks_namespace(source)
    {
        create_namespace(client, namespace).await?;
        answer = target.patch(&force, &body).await;
    }
    if let Err(Error::Apply { source, .. }) = &answer
        && is_invalid(source)
        && target.mend(&object.body).await.is_ok()
    {
        answer = target.patch(&force, &body).await;
        if let Ok(applied) = &answer {
            answer = target.disown_mending(applied).await;
        }
    }
    let answer = answer?;
    Ok(Live::of(kind, &answer.metadata, &answer.data))
}

struct Target<'a> {
    reference: &'a ObjectRef,
    api: Api<DynamicObject>,
}

impl Target<'_> {
    async fn patch<P: Serialize + Debug>(
        &self,
        params: &PatchParams,
        patch: &Patch<P>,
    ) -> Result<DynamicObject, Error> {
        bounded(
            || format!("applying {}", self.reference),
            self.api.patch(&self.reference.name, params, patch),
            |source| Error::Apply {
                object: self.reference.clone(),
                source,
            },
        )
        .await
    }

    /// Replaces every list that we render, and leaves the fields that we do not.
    async fn mend(&self, body: &Value) -> Result<(), Error> {
        let params = PatchParams {
            field_manager: Some(MENDER.to_owned()),
            ..PatchParams::default()
        };
        self.patch(&params, &Patch::Merge(body)).await.map(|_| ())
    }

    /// Gives up the ownership that mending took, which would keep fields alive that we render no
    /// longer one day.
    async fn disown_mending(&self, applied: &DynamicObject) -> Result<DynamicObject, Error> {
        let entries = applied.metadata.managed_fields.iter().flatten();
        let others: Vec<_> = entries
            .filter(|entry| entry.manager.as_deref() != Some(MENDER))
            .collect();
        let patch = Patch::Merge(json!({"metadata": {
            "resourceVersion": applied.metadata.resource_version,
            "managedFields": others,
        }}));
        self.patch(&PatchParams::default(), &patch).await
    }
}

/// Field manager of the one write that mends.
const MENDER: &str = "istio-operator-mender";

fn is_invalid(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 422)
}

fn lacks_namespace(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status)
        if status.code == 404
            && status.details.as_ref().is_some_and(|details| details.kind == "namespaces"))
}

/// Creates a namespace; one that exists is left as it is.
pub async fn create_namespace(client: &Client, name: &str) -> Result<(), Error> {
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let params = PostParams {
        field_manager: Some(labels::FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let answer = bounded(
        || format!("creating namespace {name}"),
        Api::all(client.clone()).create(&params, &namespace),
        |source| Error::CreateNamespace {
            namespace: name.to_owned(),
            source,
        },
    )
    .await;
    match answer {
        Err(Error::CreateNamespace { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.code == 409) => {
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

#[cfg(test)]
mod tests;
