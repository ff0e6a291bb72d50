//! Names and values of HTTP headers, each place with its own rules.

use crate::field::{Field, Findings};

const PSEUDO: [&str; 5] = [":method", ":scheme", ":authority", ":path", ":status"];

/// A token of RFC 9110.
fn is_token(name: &str) -> bool {
    let mark = |c: char| "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || mark(c))
}

/// In a match: a header, a pseudo header, or a claim of a token (`@request.auth.claims.…`).
pub fn matched(findings: &mut Findings, field: &Field, name: &str) {
    if !is_token(name) && !PSEUDO.contains(&name) && !is_claim(name) {
        findings.error(field, format!("{name:?} is no header name"));
    }
}

/// `@request.auth.claims[name]…` or `@request.auth.claims.name`.
pub fn is_claim(name: &str) -> bool {
    let rest = name.to_ascii_lowercase();
    rest.strip_prefix("@request.auth.claims")
        .is_some_and(|rest| rest.len() > 1 && rest.starts_with(['.', '[']))
}

/// `headers` of a route or destination: what is set, added and removed.
pub fn operations(findings: &mut Findings, headers: &Field) {
    for (direction, authority) in [("request", true), ("response", false)] {
        let direction = headers.get(direction);
        for operation in ["add", "set"] {
            for (name, value) in direction.get(operation).entries() {
                changed(findings, &value, name, authority);
                content(findings, &value);
            }
        }
        for name in direction.get("remove").items() {
            changed(findings, &name, name.text(), false);
        }
    }
}

/// Whether a name means the authority that is called.
pub fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host")
}

fn changed(findings: &mut Findings, field: &Field, name: &str, authority: bool) {
    let reserved = name.starts_with(':') || name.eq_ignore_ascii_case("host");
    if name.is_empty() {
        findings.error(field, "has an empty header name");
    } else if reserved && !(authority && is_authority(name)) {
        findings.error(field, format!("header {name:?} cannot be changed here"));
    }
}

/// A value, which may contain Envoy's `%COMMAND%`s.
fn content(findings: &mut Findings, value: &Field) {
    let text = value.text();
    if text.chars().any(|c| c.is_ascii_control() && c != '\t') {
        findings.error(value, "has a control character");
    } else if !commands_are_closed(text) {
        findings.error(
            value,
            "has a single %, expected %COMMAND% or %% for the character itself",
        );
    }
}

/// Whether every `%` is one of a pair: `%%`, or around a command, whose arguments in brackets may contain anything.
fn commands_are_closed(text: &str) -> bool {
    let mut rest = text;
    while let Some(start) = rest.find('%') {
        rest = &rest[start + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            rest = after;
            continue;
        }
        let mut depth = 0;
        let end = rest.find(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                '%' if depth <= 0 => return true,
                _ => {}
            }
            false
        });
        match end {
            Some(end) => rest = &rest[end + 1..],
            None => return false,
        }
    }
    true
}

/// In `corsPolicy`; `*` is all.
pub fn cors(findings: &mut Findings, field: &Field) {
    if field.text() != "*" && !is_token(field.text()) {
        findings.error(field, format!("{:?} is no header name", field.text()));
    }
}

/// Of a probe, by the rule of Kubernetes.
pub fn probe_name(findings: &mut Findings, field: &Field) {
    let right = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if field.text().is_empty() || !field.text().chars().all(right) {
        findings.error(
            field,
            format!(
                "{:?} is no header name, expected letters, digits and hyphens",
                field.text()
            ),
        );
    }
}
