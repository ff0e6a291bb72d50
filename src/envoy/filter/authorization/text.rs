//! Values of conditions as matchers of strings: `*` is any text but none, at an end it is any rest.

use proto::envoy::config::route::v3::{HeaderMatcher, header_matcher::HeaderMatchSpecifier};
use proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use proto::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher, ValueMatcher, value_matcher};

use crate::filter::claims;

fn matcher(pattern: MatchPattern) -> StringMatcher {
    StringMatcher {
        match_pattern: Some(pattern),
        ..Default::default()
    }
}

pub(super) fn regex(pattern: impl Into<String>) -> StringMatcher {
    matcher(MatchPattern::SafeRegex(RegexMatcher {
        regex: pattern.into(),
        ..Default::default()
    }))
}

pub(super) fn exact(text: impl Into<String>) -> StringMatcher {
    matcher(MatchPattern::Exact(text.into()))
}

pub(super) fn prefix(text: impl Into<String>) -> StringMatcher {
    matcher(MatchPattern::Prefix(text.into()))
}

pub(super) fn suffix(text: impl Into<String>) -> StringMatcher {
    matcher(MatchPattern::Suffix(text.into()))
}

/// Any text but none.
pub(super) fn some() -> StringMatcher {
    regex(".+")
}

/// A value as users write it.
pub(super) fn value(text: &str) -> StringMatcher {
    match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(""), _) => some(),
        (Some(rest), _) => suffix(rest),
        (None, Some(rest)) => prefix(rest),
        (None, None) => exact(text),
    }
}

/// An identity as users write it, without the scheme that certificates have it with.
pub(super) fn identity(text: &str) -> StringMatcher {
    const SCHEME: &str = "spiffe://";
    match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(""), _) => some(),
        (Some(rest), _) => regex(format!("{SCHEME}.*{}", quoted(rest))),
        (None, Some(rest)) => prefix(format!("{SCHEME}{rest}")),
        (None, None) => exact(format!("{SCHEME}{text}")),
    }
}

/// A namespace; `*` may stand anywhere in it.
pub(super) fn namespace(text: &str) -> StringMatcher {
    let mut pattern = String::with_capacity(text.len() + 16);
    pattern.push_str(".*/ns/");
    for (index, part) in text.split('*').enumerate() {
        if index > 0 {
            pattern.push_str(".*");
        }
        quote(part, &mut pattern);
    }
    pattern.push_str("/.*");
    regex(pattern)
}

/// `account` of the policy's namespace, or `namespace/account`. Identities may have further parts.
pub(super) fn service_account(text: &str, own: &str) -> StringMatcher {
    let (namespace, account) = text.split_once('/').unwrap_or((own, text));
    let (namespace, account) = (quoted(namespace), quoted(account));
    regex(format!(
        "spiffe://.+/ns/{namespace}/(.+/|)sa/{account}(/.+)?"
    ))
}

/// A trust domain; `*` is any part of one.
pub(super) fn trust_domain(text: &str) -> StringMatcher {
    match text.split_once('*') {
        _ if text == "*" => prefix("spiffe://"),
        None => prefix(format!("spiffe://{text}/")),
        Some((before, after)) => {
            let (before, after) = (quoted(before), quoted(after));
            regex(format!("spiffe://{before}[^/]*{after}/.*"))
        }
    }
}

/// Text in a regular expression.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    quote(text, &mut quoted);
    quoted
}

fn quote(text: &str, into: &mut String) {
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            into.push('\\');
        }
        into.push(letter);
    }
}

/// A header with a value; `*` is that it is there.
pub(super) fn header(name: &str, text: &str) -> HeaderMatcher {
    let specifier = match text {
        "*" => HeaderMatchSpecifier::PresentMatch(true),
        text => HeaderMatchSpecifier::StringMatch(value(text)),
    };
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(specifier),
        ..Default::default()
    }
}

/// The host of a request, in letters of either case.
pub(super) fn host(text: &str) -> HeaderMatcher {
    let mut made = header(":authority", text);
    if let Some(HeaderMatchSpecifier::StringMatch(matcher)) = &mut made.header_match_specifier {
        matcher.ignore_case = true;
    }
    made
}

pub(super) fn held(matcher: StringMatcher) -> ValueMatcher {
    ValueMatcher {
        match_pattern: Some(value_matcher::MatchPattern::StringMatch(matcher)),
    }
}

/// One of several values of metadata.
pub(super) fn one_of(values: &[String], make: impl Fn(&str) -> ValueMatcher) -> ValueMatcher {
    match values {
        [only] => make(only),
        values => claims::any(values.iter().map(|text| make(text)).collect()),
    }
}
