//! Server-side apply of one object, with one field manager and force. The order of objects and
//! whether a write is needed at all are the caller's business.
//!
//! A list whose items have keys (ports, containers) is merged by key: when someone edits the key
//! of our item, an apply adds ours beside theirs, and the API server may refuse the pair for as
//! long as it stands. Such an object is mended: our lists are put in place whole.

use std::borrow::Cow;
use std::fmt::Debug;

use base::{ObjectRef, labels};
use install::Object;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::Serialize;
use serde_json::{Value, json};

use crate::change::edits;
use crate::error::bounded;
use crate::kind::VALIDATING;
use crate::{Error, FieldChange, Kind, Live};

/// Applies `object` and returns what the cluster then has. Its namespace is created when absent;
/// namespaces are never deleted by this crate.
///
/// # Errors
/// When the API server cannot be asked, or refuses.
pub async fn apply(client: &Client, object: &Object) -> Result<Live, Error> {
    let kind = kind_of(&object.reference)?;
    let answer = applied(client, kind, object).await?;
    Ok(Live::of(kind, &answer.metadata, &answer.data))
}

/// What came of a [`repair`].
#[derive(Clone, Debug, PartialEq)]
pub struct Repaired {
    /// The object as it stands now.
    pub live: Live,
    /// Whether it existed before.
    pub existed: bool,
    /// Which of our fields someone had changed.
    pub edits: Vec<FieldChange>,
}

/// Applies `object` over what someone has changed of it, or deleted.
///
/// # Errors
/// As [`apply`].
pub async fn repair(client: &Client, object: &Object) -> Result<Repaired, Error> {
    let kind = kind_of(&object.reference)?;
    let before = read(client, &object.reference).await?;
    let answer = applied(client, kind, object).await?;
    let same = before.filter(|before| before.metadata.uid == answer.metadata.uid);
    Ok(Repaired {
        live: Live::of(kind, &answer.metadata, &answer.data),
        existed: same.is_some(),
        edits: same.map_or_else(Vec::new, |before| edits(&before, &answer)),
    })
}

/// What an apply of `object` would make of it; none when something that it needs does not exist yet, which only an
/// apply of that would bring: its namespace, or the role of a binding, whose rights the API server compares.
///
/// # Errors
/// As [`apply`].
pub async fn dry_run(client: &Client, object: &Object) -> Result<Option<DynamicObject>, Error> {
    let kind = kind_of(&object.reference)?;
    let target = Target::new(client, kind, &object.reference);
    let params = PatchParams {
        dry_run: true,
        ..PatchParams::apply(labels::FIELD_MANAGER).force()
    };
    let body = to_apply(client, object).await?;
    match target.patch(&params, &Patch::Apply(&body)).await {
        Err(Error::Apply { source, .. }) if says(&source, 404) => Ok(None),
        answer => answer.map(Some),
    }
}

/// The object as it stands, if it does.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn read(client: &Client, reference: &ObjectRef) -> Result<Option<DynamicObject>, Error> {
    let kind = kind_of(reference)?;
    let what = || reference.to_string();
    let api = kind.api(client, reference);
    bounded(what, api.get_opt(&reference.name), |source| Error::Read {
        what: what(),
        source,
    })
    .await
}

/// Takes away the annotations by which Helm knows an object as its own, so that a later upgrade
/// of the release says that it is not.
///
/// # Errors
/// As [`apply`].
pub async fn take_from_helm(client: &Client, reference: &ObjectRef) -> Result<(), Error> {
    let target = Target::new(client, kind_of(reference)?, reference);
    let params = PatchParams {
        field_manager: Some(labels::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = json!({"metadata": {"annotations": {
        labels::HELM_RELEASE: null,
        labels::HELM_NAMESPACE: null,
    }}});
    target
        .patch(&params, &Patch::Merge(patch))
        .await
        .map(|_| ())
}

/// Has the pods of a Deployment replaced, as `kubectl rollout restart` does. `now` tells this time
/// from others.
///
/// # Errors
/// As [`apply`].
pub async fn replace_pods(client: &Client, reference: &ObjectRef, now: &str) -> Result<(), Error> {
    let target = Target::new(client, kind_of(reference)?, reference);
    let params = PatchParams {
        field_manager: Some(RESTARTER.to_owned()),
        ..PatchParams::default()
    };
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
    let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    target
        .patch(&params, &Patch::Merge(patch))
        .await
        .map(|_| ())
}

fn kind_of(reference: &ObjectRef) -> Result<&'static Kind, Error> {
    Kind::of(reference).ok_or_else(|| Error::UnknownKind {
        object: reference.clone(),
    })
}

async fn applied(client: &Client, kind: &Kind, object: &Object) -> Result<DynamicObject, Error> {
    let reference = &object.reference;
    let target = Target::new(client, kind, reference);
    let force = PatchParams::apply(labels::FIELD_MANAGER).force();
    let wanted = to_apply(client, object).await?;
    let body = Patch::Apply(&wanted);
    let mut answer = target.patch(&force, &body).await;
    if let (Err(Error::Apply { source, .. }), Some(namespace)) = (&answer, &reference.namespace)
        && lacks_namespace(source)
    {
        create_namespace(client, namespace).await?;
        answer = target.patch(&force, &body).await;
    }
    if let Err(Error::Apply { source, .. }) = &answer
        && says(source, 422)
        && target.mend(&wanted).await.is_ok()
    {
        answer = target.patch(&force, &body).await;
        if let Ok(applied) = &answer {
            answer = target.disown_mending(applied).await;
        }
    }
    answer
}

/// What is applied of an object. A webhook that fails open is one that istiod has not proved yet: once
/// it exists, its `failurePolicy` is istiod's, and stays what it is.
async fn to_apply<'a>(client: &Client, object: &'a Object) -> Result<Cow<'a, Value>, Error> {
    let open = |webhook: &Value| webhook["failurePolicy"] == "Ignore";
    let webhooks = |body: &'_ Value| body["webhooks"].as_array().cloned().unwrap_or_default();
    let ours = webhooks(&object.body);
    if object.reference.kind != VALIDATING || !ours.iter().any(open) {
        return Ok(Cow::Borrowed(&object.body));
    }
    let standing = read(client, &object.reference).await?;
    let standing = standing.map(|standing| webhooks(&standing.data));
    let mut body = object.body.clone();
    for webhook in body["webhooks"].as_array_mut().into_iter().flatten() {
        let same = |other: &&Value| other["name"] == webhook["name"];
        let known = standing.iter().flatten().find(same);
        if let Some(policy) = known.map(|known| known["failurePolicy"].clone())
            && policy.is_string()
        {
            webhook["failurePolicy"] = policy;
        }
    }
    Ok(Cow::Owned(body))
}

struct Target<'a> {
    reference: &'a ObjectRef,
    api: Api<DynamicObject>,
}

impl<'a> Target<'a> {
    fn new(client: &Client, kind: &Kind, reference: &'a ObjectRef) -> Target<'a> {
        Target {
            reference,
            api: kind.api(client, reference),
        }
    }

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

/// Field manager of what has pods replaced; the annotation is none of what is rendered.
const RESTARTER: &str = "istio-operator-restart";

/// Field manager of the one write that mends.
const MENDER: &str = "istio-operator-mender";

fn says(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
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
        Err(Error::CreateNamespace { source, .. }) if says(&source, 409) => Ok(()),
        other => other.map(|_| ()),
    }
}

#[cfg(test)]
mod tests;
