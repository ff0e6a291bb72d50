//! The one place where YAML text becomes values and values become YAML text, with the choices of
//! Kubernetes' own tools: YAML 1.1 booleans, octal numbers, merge keys, long lines unfolded.
//! A key that stands twice is an error here, where those tools let the last one win in silence.

use serde_json::{Number, Value};

/// Text that is not YAML, with line and column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError(String);

impl std::fmt::Display for YamlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for YamlError {}

/// Every document of a stream in order; empty documents are left out.
///
/// # Errors
/// The first place that is not YAML, or a document too large or too deep to be meant.
pub fn documents(text: &str) -> Result<Vec<Value>, YamlError> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        // The defaults stop at 250 000 nodes; a dump of a large cluster has more.
        budget: serde_saphyr::budget! { max_nodes: 10_000_000, max_documents: 100_000 },
        // A few lines of aliases of aliases must not become a million values; people repeat less than they write.
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000 + 10 * text.len() },
    };
    let found: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| YamlError(error.to_string()))?;
    Ok(found
        .into_iter()
        .filter(|value| !value.is_null())
        .map(whole_numbers)
        .collect())
}

/// One value as YAML, ending in a line break. Keys keep their order; same value, same bytes.
pub fn print(value: &Value) -> String {
    let options = serde_saphyr::ser_options! {
        min_fold_chars: usize::MAX,
        folded_wrap_chars: usize::MAX,
        compact_list_indent: true,
    };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, value, options)
        .expect("a JSON value has no form that YAML lacks, and a String takes all that is written");
    text
}

/// `1.0` and `1e3` are the numbers 1 and 1000, as Go prints them.
fn whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float)
                if number.is_f64()
                    && float.fract() == 0.0
                    && float.abs() < 9_007_199_254_740_992.0 =>
            {
                Value::Number(Number::from(float as i64))
            }
            _ => Value::Number(number),
        },
        Value::Array(items) => Value::Array(items.into_iter().map(whole_numbers).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key, whole_numbers(value)))
                .collect(),
        ),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{documents, print};

    #[test]
    fn reads_as_kubernetes_tools_do() {
        let found = documents("a: yes\nb: 017\nc: 1.0\nd: 1e3\ne: 1.5\nf: 'yes'\n").expect("YAML");
        let expected = json!({"a": true, "b": 15, "c": 1, "d": 1000, "e": 1.5, "f": "yes"});
        assert_eq!(found, [expected]);
    }

    #[test]
    fn empty_documents_are_left_out() {
        let found = documents("---\na: 1\n---\n---\nb: 2\n").expect("YAML");
        assert_eq!(found, [json!({"a": 1}), json!({"b": 2})]);
    }

    #[test]
    fn a_repeated_key_is_an_error_that_names_it() {
        let error = documents("a: 1\na: 2\n").expect_err("a stands twice");
        assert!(error.to_string().contains('a'), "{error}");
    }

    #[test]
    fn what_is_printed_reads_back_equal() {
        let long = "word ".repeat(60);
        let value = json!({"text": "yes", "number": "15", "long": long, "lines": "a\n  b\nc\n",
            "empty": {}, "list": [], "nested": [{"a": [1, 2]}, null], "colon": "a: b", "on": "off",
            "trailing": "a\n\n", "octal": "017", "tilde": "~", "dash": "- a", "tab": "\ta"});
        assert_eq!(documents(&print(&value)).expect("YAML"), [value]);
    }
}
