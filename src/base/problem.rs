//! What is wrong with a user's object, as a value: the webhook, conditions, `analyze`
//! and goldens print the same one. Failures of the world are not Problems.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ObjectRef;

/// How much a [`Problem`] hinders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// The object, or the named part of it, cannot be used.
    Error,
    /// It is used, but probably not as meant.
    Warning,
    /// Worth knowing.
    Info,
}

/// One finding about one field of one object.
///
/// Displays as `kind namespace/name: field message`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// The object it is about.
    pub subject: ObjectRef,
    /// Path of the field, as the user wrote it: `spec.components.pilot.k8s.hpaSpec`. Empty for the whole object.
    pub field: String,
    /// A CamelCase word that programs can match: `UnknownField`, `InvalidValue` …
    pub reason: String,
    /// How much it hinders.
    pub severity: Severity,
    /// What is wrong and what would be accepted; lower case, no full stop.
    pub message: String,
}

impl Problem {
    /// An error about `field` of `subject`.
    pub fn error(
        subject: &ObjectRef,
        field: impl Into<String>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Problem {
            subject: subject.clone(),
            field: field.into(),
            reason: reason.into(),
            severity: Severity::Error,
            message: message.into(),
        }
    }

    /// A warning about `field` of `subject`.
    pub fn warning(
        subject: &ObjectRef,
        field: impl Into<String>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Problem {
            severity: Severity::Warning,
            ..Problem::error(subject, field, reason, message)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            write!(f, "{}: {}", self.subject, self.message)
        } else {
            write!(f, "{}: {} {}", self.subject, self.field, self.message)
        }
    }
}
