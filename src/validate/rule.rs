//! The rules that the CRDs state in CEL, in Rust: one rule, two spellings. A test keeps them in step, so that what
//! the API server refuses is refused offline as well, and with the same words.

use std::time::Duration;

use serde_json::Value;

type Holds = fn(&Value) -> bool;

/// By the text of the rule. `all(one, …)` of a map is about its keys.
const RULES: &[(&str, Holds)] = &[
    (
        "!(has(self.serviceAccounts) || has(self.notServiceAccounts)) || !(has(self.principals) || has(self.notPrincipals) || has(self.namespaces) || has(self.notNamespaces))",
        |it| {
            let accounts = any(it, &["serviceAccounts", "notServiceAccounts"]);
            let others = ["principals", "notPrincipals", "namespaces", "notNamespaces"];
            !accounts || !any(it, &others)
        },
    ),
    (
        "!has(self.address) || !self.address.startsWith('unix://') || !has(self.ports)",
        |it| !text(it, "address").starts_with("unix://") || !has(it, "ports"),
    ),
    (
        "!has(self.addresses) || !self.addresses.exists(address, address.contains('/')) || !has(self.resolution) || self.resolution in ['NONE', 'STATIC']",
        |it| {
            let range = |address: &Value| address.as_str().unwrap_or_default().contains('/');
            let ranges = it["addresses"].as_array().into_iter().flatten().any(range);
            !ranges || ["", "NONE", "STATIC"].contains(&text(it, "resolution"))
        },
    ),
    (
        "!has(self.operation) || self.operation != 'REMOVE' || !has(self.value)",
        |it| text(it, "operation") != "REMOVE" || !has(it, "value"),
    ),
    (
        "!has(self.operation) || self.operation != 'UPSERT' || (has(self.value) && self.value != '')",
        |it| text(it, "operation") != "UPSERT" || !text(it, "value").is_empty(),
    ),
    (
        "!has(self.portLevelMtls) || (has(self.selector) && has(self.selector.matchLabels) && self.selector.matchLabels.size() > 0)",
        |it| {
            let labels = it["selector"]["matchLabels"].as_object();
            !has(it, "portLevelMtls") || labels.is_some_and(|labels| !labels.is_empty())
        },
    ),
    (
        "!has(self.resolution) || self.resolution != 'DNS_ROUND_ROBIN' || !has(self.endpoints) || self.endpoints.size() <= 1",
        |it| {
            let endpoints = it["endpoints"].as_array().map_or(0, Vec::len);
            text(it, "resolution") != "DNS_ROUND_ROBIN" || endpoints <= 1
        },
    ),
    (
        "!has(self.valueFrom) || self.valueFrom != 'HOST' || !has(self.value)",
        |it| text(it, "valueFrom") != "HOST" || !has(it, "value"),
    ),
    ("!self.contains('*')", |it| !own_text(it).contains('*')),
    ("!self.startsWith('unix://') || !self.endsWith('/')", |it| {
        !own_text(it).starts_with("unix://") || !own_text(it).ends_with('/')
    }),
    (
        "!self.startsWith('unix://') || self.startsWith('unix:///') || self.startsWith('unix://@')",
        |it| {
            let name = own_text(it).strip_prefix("unix://");
            name.is_none_or(|name| name.starts_with(['/', '@']))
        },
    ),
    (
        "(has(self.context) && self.context == 'WAYPOINT') == has(self.waypoint)",
        |it| (text(it, "context") == "WAYPOINT") == has(it, "waypoint"),
    ),
    (
        "(has(self.resolution) && self.resolution != 'NONE') || !has(self.endpoints)",
        |it| !["", "NONE"].contains(&text(it, "resolution")) || !has(it, "endpoints"),
    ),
    ("duration(self) >= duration('1ms')", |it| {
        let duration = api::duration::Duration::parse(own_text(it));
        duration.is_some_and(|duration| duration.0 >= Duration::from_millis(1))
    }),
    ("has(self.address) || has(self.network)", |it| {
        has(it, "address") || has(it, "network")
    }),
    ("has(self.wasm) != has(self.lua)", |it| {
        has(it, "wasm") != has(it, "lua")
    }),
    (
        "isURL(self) ? url(self).getScheme() in ['', 'http', 'https', 'file', 'oci'] : isURL('http://' + self)",
        |it| match scheme(own_text(it)) {
            Some(scheme) => ["", "http", "https", "file", "oci"].contains(&scheme.as_str()),
            None => scheme(&format!("http://{}", own_text(it))).is_some(),
        },
    ),
    ("self != '*'", |it| own_text(it) != "*"),
    ("self == ''", |it| own_text(it).is_empty()),
    ("self >= 1 && self <= 65535", |it| {
        it.as_i64().is_some_and(|port| (1..=65535).contains(&port))
    }),
    ("self in ['', 'HTTP', 'HTTPS']", |it| {
        ["", "HTTP", "HTTPS"].contains(&own_text(it))
    }),
    ("self.all(key, !key.contains('*'))", |it| {
        keys(it).all(|key| !key.contains('*'))
    }),
    ("self.all(key, key != '')", |it| {
        keys(it).all(|key| !key.is_empty())
    }),
    (
        "self.all(name, name.size() < 63 && name.matches('^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$'))",
        |it| keys(it).all(|name| name.len() < 63 && crate::host::is_label(name)),
    ),
    (
        "self.all(port, int(port) >= 1 && int(port) <= 65535)",
        |it| {
            keys(it).all(|port| {
                port.parse()
                    .is_ok_and(|port: u32| (1..=65535).contains(&port))
            })
        },
    ),
    (
        "self.all(port, self.exists_one(other, other.number == port.number))",
        |it| {
            let ports = it.as_array().into_iter().flatten();
            let mut numbers: Vec<i64> = ports.filter_map(|port| port["number"].as_i64()).collect();
            let all = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            numbers.len() == all
        },
    ),
    ("url(self).getScheme() in ['http', 'https']", |it| {
        scheme(own_text(it)).is_some_and(|scheme| scheme == "http" || scheme == "https")
    }),
];

/// Whether a rule holds for a value; `None` for a rule that is not known.
pub fn holds(rule: &str, value: &Value) -> Option<bool> {
    if let Some(pairs) = exclusions(rule) {
        return Some(
            pairs
                .iter()
                .all(|(one, other)| !has(value, one) || !has(value, other)),
        );
    }
    let known = RULES.iter().find(|(text, _)| *text == rule);
    known.map(|(_, holds)| holds(value))
}

/// `!(has(self.a) && has(self.b)) && …`: pairs of fields that exclude each other.
fn exclusions(rule: &str) -> Option<Vec<(&str, &str)>> {
    let pairs = rule.strip_prefix("!(has(self.")?.strip_suffix("))")?;
    let pairs = pairs.split(")) && !(has(self.");
    pairs
        .map(|pair| pair.split_once(") && has(self."))
        .collect()
}

fn has(value: &Value, name: &str) -> bool {
    value.get(name).is_some_and(|value| !value.is_null())
}

fn any(value: &Value, names: &[&str]) -> bool {
    names.iter().any(|name| has(value, name))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    own_text(&value[name])
}

fn own_text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn keys(value: &Value) -> impl Iterator<Item = &str> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(key, _)| key.as_str())
}

/// The scheme of an absolute URL, empty for an absolute path; `None` for what is neither.
pub fn scheme(url: &str) -> Option<String> {
    let escaped =
        |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|c| c.is_ascii_hexdigit());
    let control = |c: char| c.is_ascii_control() || c == ' ';
    if url.contains(control) || !url.split('%').skip(1).all(escaped) {
        return None;
    }
    if url.starts_with('/') {
        return Some(String::new());
    }
    let (scheme, _) = url.split_once(':')?;
    let starts = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let mut rest = scheme.chars();
    let rest = rest.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    (starts && rest).then(|| scheme.to_ascii_lowercase())
}
