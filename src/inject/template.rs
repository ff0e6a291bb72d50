//! Go templates as Istio runs them: parsing, the functions that they may call, and the data that
//! they see. Nothing here knows what a sidecar is.

mod data;
mod functions;
mod source;
mod sprig;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use gotmpl::FuncMap;

pub use data::{GoValue, plain, structure, table, text, with_json};

/// A template that does not parse or run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("injection template {name:?}: {reason}")]
pub struct TemplateError {
    /// Name of the template.
    pub name: String,
    /// What is wrong, with the place where it is known.
    pub reason: String,
}

/// A template, ready to run. Cheap to clone.
#[derive(Clone)]
pub struct Template {
    name: String,
    parsed: Arc<gotmpl::Template>,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Template").field(&self.name).finish()
    }
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// The first place that is no template.
    pub fn parse(name: &str, text: &str) -> Result<Self, TemplateError> {
        let parsed = gotmpl::Template::new(name)
            .max_range_iters(100_000)
            .funcs(FUNCTIONS.clone())
            .parse(&source::prepared(text))
            .map_err(|error| TemplateError {
                name: name.to_owned(),
                reason: error.to_string(),
            })?;
        Ok(Template {
            name: name.to_owned(),
            parsed: Arc::new(parsed),
        })
    }

    /// Runs it on what `.` is to be.
    ///
    /// # Errors
    /// A function that is unknown or refuses its arguments, a field of something that has none.
    pub fn render(&self, dot: &GoValue) -> Result<String, TemplateError> {
        self.parsed
            .execute_to_string(dot)
            .map_err(|error| TemplateError {
                name: self.name.clone(),
                reason: error.to_string(),
            })
    }
}

static FUNCTIONS: LazyLock<FuncMap> = LazyLock::new(|| {
    let mut all: FuncMap = BTreeMap::new();
    sprig::register(&mut all);
    // Istio's own come last: `contains`, `indent` and `omit` differ from sprig's.
    functions::register(&mut all);
    all
});

#[cfg(test)]
mod tests;
