//! A place in a user's object, and what was found there. Reading never fails: what is absent, or of another type
//! than a rule expects, reads as empty, since `schema` reports wrong types.

use std::collections::BTreeSet;

use base::{ObjectRef, Problem, Severity};
use serde_json::Value;

/// A value with the path that leads to it.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Field<'a> {
    pub fn root(value: &'a Value) -> Self {
        Field {
            path: String::new(),
            value,
        }
    }

    /// As the user would write it: `spec.http[0].route`.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// A member of an object, there or not.
    pub fn get(&self, name: &str) -> Field<'a> {
        let path = match self.path.is_empty() {
            true => name.to_owned(),
            false => format!("{}.{name}", self.path),
        };
        Field {
            path,
            value: self.value.get(name).unwrap_or(&Value::Null),
        }
    }

    /// Elements of a list.
    pub fn items(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let path = self.path.clone();
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(move |(place, value)| Field {
            path: format!("{path}[{place}]"),
            value,
        })
    }

    /// Members of an object, with their names.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> + use<'a> {
        let path = self.path.clone();
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(move |(name, value)| {
            let field = Field {
                path: format!("{path}[{name}]"),
                value,
            };
            (name.as_str(), field)
        })
    }

    /// Number of elements or members.
    pub fn len(&self) -> usize {
        match self.value {
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
            _ => 0,
        }
    }

    pub fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    pub fn has(&self, name: &str) -> bool {
        self.value.get(name).is_some_and(|value| !value.is_null())
    }

    /// Names of those among `names` that are set.
    pub fn which<'n>(&self, names: &[&'n str]) -> Vec<&'n str> {
        let set = names.iter().filter(|name| self.has(name));
        set.copied().collect()
    }

    /// A text, empty when there is none.
    pub fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or_default()
    }

    /// An integer, 0 when there is none.
    pub fn int(&self) -> i64 {
        self.value.as_i64().unwrap_or_default()
    }

    pub fn number(&self) -> Option<f64> {
        self.value.as_f64()
    }

    pub fn flag(&self) -> bool {
        self.value.as_bool().unwrap_or_default()
    }

    /// A span of time; `None` when absent or unreadable.
    pub fn duration(&self) -> Option<std::time::Duration> {
        let text = self.value.as_str()?;
        api::duration::Duration::parse(text).map(|duration| duration.0)
    }
}

/// Collects Problems about one object.
#[derive(Debug)]
pub struct Findings<'a> {
    subject: &'a ObjectRef,
    problems: Vec<Problem>,
    /// A field has one error at most: the first, which is that of its form.
    wrong: BTreeSet<String>,
}

impl<'a> Findings<'a> {
    pub fn new(subject: &'a ObjectRef) -> Self {
        Findings {
            subject,
            problems: Vec::new(),
            wrong: BTreeSet::new(),
        }
    }

    pub fn subject(&self) -> &'a ObjectRef {
        self.subject
    }

    pub fn error(&mut self, field: &Field, message: impl Into<String>) {
        self.add(field, "InvalidValue", Severity::Error, message.into());
    }

    pub fn missing(&mut self, field: &Field, message: impl Into<String>) {
        self.add(field, "RequiredField", Severity::Error, message.into());
    }

    pub fn unknown(&mut self, field: &Field, message: impl Into<String>) {
        self.add(field, "UnknownField", Severity::Error, message.into());
    }

    pub fn unknown_kind(&mut self, root: &Field) {
        let kind = format!("{} {}", self.subject.api_version, self.subject.kind);
        let message = format!("is {kind}, expected a kind of Istio's API");
        self.add(&root.get("kind"), "UnknownKind", Severity::Error, message);
    }

    pub fn warning(&mut self, field: &Field, message: impl Into<String>) {
        self.add(field, "Questionable", Severity::Warning, message.into());
    }

    /// A warning with a reason of its own, which `analyze` turns into a message code.
    pub fn warning_of(&mut self, field: &Field, reason: &str, message: impl Into<String>) {
        self.add(field, reason, Severity::Warning, message.into());
    }

    fn add(&mut self, field: &Field, reason: &str, severity: Severity, message: String) {
        let path = field.path();
        if severity == Severity::Error && !self.wrong.insert(path.to_owned()) {
            return;
        }
        self.problems.push(Problem {
            subject: self.subject.clone(),
            field: path.to_owned(),
            reason: reason.to_owned(),
            severity,
            message,
        });
    }

    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}
