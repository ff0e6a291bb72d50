//! `StringMatch`: exact, prefix or regular expression.

use serde::Deserialize;

/// How a string is matched. An object without a known key matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum StringMatch {
    /// The whole string.
    Exact(String),
    /// Its beginning.
    Prefix(String),
    /// RE2 syntax, the whole string.
    Regex(String),
    /// Anything.
    #[default]
    Any,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    exact: Option<String>,
    prefix: Option<String>,
    regex: Option<String>,
}

impl<'de> Deserialize<'de> for StringMatch {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Option::<Wire>::deserialize(deserializer)?;
        Ok(match wire {
            Some(Wire {
                exact: Some(text), ..
            }) => StringMatch::Exact(text),
            Some(Wire {
                prefix: Some(text), ..
            }) => StringMatch::Prefix(text),
            Some(Wire {
                regex: Some(text), ..
            }) => StringMatch::Regex(text),
            _ => StringMatch::Any,
        })
    }
}
