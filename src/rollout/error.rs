//! What can fail between this crate and the API server.

use std::time::Duration;

use base::ObjectRef;

/// An attempted action that failed. [`Error::label`] is its metric label.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object could not be applied.
    #[error("{object} could not be applied: {}", said(source))]
    Apply {
        /// Which object.
        object: ObjectRef,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// An object could not be deleted.
    #[error("{object} could not be deleted: {}", said(source))]
    Delete {
        /// Which object.
        object: ObjectRef,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// A namespace could not be created.
    #[error("namespace {namespace} could not be created: {}", said(source))]
    CreateNamespace {
        /// Its name.
        namespace: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// The record of what was applied could not be kept.
    #[error("inventory {record} could not be kept: {}", said(source))]
    Record {
        /// Namespace and name of the ConfigMap.
        record: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// The API server's version or a list of objects could not be read.
    #[error("{what} could not be read: {}", said(source))]
    Read {
        /// What was asked for.
        what: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// An object of a kind that is not in [`crate::kind::KINDS`].
    #[error("{object} is of a kind that cannot be applied: {}", object.api_version)]
    UnknownKind {
        /// Which object.
        object: ObjectRef,
    },
    /// No answer within [`PATIENCE`].
    #[error("{what}: no answer from the API server within {} s", PATIENCE.as_secs())]
    NoAnswer {
        /// What was attempted.
        what: String,
    },
}

/// How long one request may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

impl Error {
    /// What the API server has against an object, where it was asked and asking again would change nothing: it is
    /// invalid, or forbidden, or a webhook denies it.
    pub fn refusal(&self) -> Option<String> {
        let Error::Apply { source, .. } = self else {
            return None;
        };
        match &**source {
            kube::Error::Api(status) if [400, 403, 409, 422].contains(&status.code) => {
                Some(status.message.clone())
            }
            _ => None,
        }
    }

    /// The name of this failure in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Error::Apply { .. } => "apply",
            Error::Delete { .. } => "delete",
            Error::CreateNamespace { .. } => "create_namespace",
            Error::Record { .. } => "record",
            Error::Read { .. } => "read",
            Error::UnknownKind { .. } => "unknown_kind",
            Error::NoAnswer { .. } => "no_answer",
        }
    }
}

/// The API server's own sentence where there is one.
pub(crate) fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

/// Awaits a request for [`PATIENCE`] at most.
pub(crate) async fn bounded<T>(
    what: impl Fn() -> String,
    request: impl Future<Output = Result<T, kube::Error>>,
    failed: impl FnOnce(Box<kube::Error>) -> Error,
) -> Result<T, Error> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failed(Box::new(error))),
        Err(_) => Err(Error::NoAnswer { what: what() }),
    }
}
