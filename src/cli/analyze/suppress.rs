//! Findings that the user does not want to see.

use analyze::Message;
use serde_json::Value;

/// Annotation with codes that do not matter for its object, separated by commas; `*` is all.
const ANNOTATION: &str = "galley.istio.io/analyze-suppress";

/// `CODE=KIND NAME[.NAMESPACE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suppression {
    code: String,
    origin: String,
}

impl Suppression {
    /// Reads one of the flag's values.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?}, expected CODE=KIND NAME[.NAMESPACE]");
        let (code, origin) = text.split_once('=').ok_or_else(wrong)?;
        if code.is_empty() || origin.is_empty() {
            return Err(wrong());
        }
        Ok(Suppression {
            code: code.to_owned(),
            origin: origin.to_owned(),
        })
    }

    pub fn covers(&self, message: &Message) -> bool {
        let subject = &message.subject;
        let mut origin = format!("{} {}", subject.kind, subject.name);
        if let Some(namespace) = &subject.namespace {
            origin += &format!(".{namespace}");
        }
        self.code == message.code.code && matches(&self.origin, &origin)
    }
}

/// A pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(place) => rest = &rest[place + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether the object itself says that a finding does not matter.
pub(super) fn by_annotation(objects: &[Value], message: &Message) -> bool {
    let subject = objects
        .iter()
        .find(|object| validate::reference(object) == message.subject);
    let codes = subject.and_then(|object| object["metadata"]["annotations"][ANNOTATION].as_str());
    codes.is_some_and(|codes| {
        codes
            .split(',')
            .any(|code| code.trim() == "*" || code.trim() == message.code.code)
    })
}

#[cfg(test)]
mod tests {
    use super::{Suppression, matches};

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("Pod *.shop", "Pod web-1.shop"));
        assert!(matches("Namespace bar", "Namespace bar"));
        assert!(!matches("Pod *.shop", "Pod web-1.other"));
        assert!(!matches("Namespace bar", "Namespace bars"));
    }

    #[test]
    fn a_suppression_has_a_code_and_an_object() {
        assert!(Suppression::parse("IST0102=Namespace bar").is_ok());
        assert!(Suppression::parse("IST0102").is_err());
    }
}
