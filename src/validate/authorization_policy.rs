//! AuthorizationPolicy: who may call what, under which conditions.

use api::security::attribute::{Attribute, is_template, template};

use crate::field::{Field, Findings};
use crate::selector;

/// Parts of `source`.
const SOURCE: [&str; 14] = [
    "principals",
    "notPrincipals",
    "requestPrincipals",
    "notRequestPrincipals",
    "namespaces",
    "notNamespaces",
    "serviceAccounts",
    "notServiceAccounts",
    "trustDomains",
    "notTrustDomains",
    "ipBlocks",
    "notIpBlocks",
    "remoteIpBlocks",
    "notRemoteIpBlocks",
];
/// Those of [`SOURCE`] that an external authorizer must judge by itself.
const IDENTITY: std::ops::Range<usize> = 0..10;
/// Parts of `operation`.
const OPERATION: [&str; 8] = [
    "ports",
    "notPorts",
    "hosts",
    "notHosts",
    "methods",
    "notMethods",
    "paths",
    "notPaths",
];

pub fn check(findings: &mut Findings, root: &Field) {
    let spec = root.get("spec");
    selector::check(findings, &spec);
    let action = match spec.get("action").text() {
        "" => "ALLOW",
        action => action,
    };
    let rules = spec.get("rules");
    if ["DENY", "CUSTOM"].contains(&action) && !rules.is_set() {
        findings.missing(&rules, format!("is required with action {action}: without a rule it never applies; one rule {{}} applies to all"));
    }
    let provider = spec.get("provider");
    if action == "CUSTOM" && rules.is_set() && provider.get("name").text().is_empty() {
        findings.missing(&provider.get("name"), "is required with action CUSTOM");
    } else if action != "CUSTOM" && provider.is_set() {
        findings.error(
            &provider,
            format!("does not go with action {action}, expected CUSTOM"),
        );
    }
    for entry in rules.items() {
        rule(findings, &entry, action);
    }
}

fn rule(findings: &mut Findings, rule: &Field, action: &str) {
    for name in ["from", "to"] {
        let list = rule.get(name);
        if list.is_set() && list.len() == 0 {
            findings.error(
                &list,
                format!("is empty, which matches nothing; leave {name} out to match all"),
            );
        }
    }
    let mut kinds = Vec::new();
    for entry in rule.get("from").items() {
        let source = entry.get("source");
        from(findings, &source, action);
        kinds.push(
            source
                .which(&SOURCE)
                .iter()
                .any(|name| !name.to_lowercase().contains("requestprincipals")),
        );
    }
    let by_request_only = !kinds.is_empty() && !kinds.contains(&true);
    let mut ports = Vec::new();
    for entry in rule.get("to").items() {
        let operation = entry.get("operation");
        to(findings, &operation);
        ports.push(!operation.which(&OPERATION[..2]).is_empty());
    }
    for condition in rule.get("when").items() {
        when(findings, &condition, action);
    }
    let http_only = if ports.is_empty() {
        by_request_only
    } else {
        !ports.contains(&true)
    };
    if action == "DENY" && http_only {
        findings.warning(rule, "speaks of HTTP only, so it denies everything on TCP ports; name the ports it is meant for");
    }
}

fn from(findings: &mut Findings, source: &Field, action: &str) {
    if SOURCE.iter().all(|name| source.get(name).len() == 0) {
        findings.missing(
            source,
            format!("is empty, expected one of {}", SOURCE.join(", ")),
        );
    }
    for name in SOURCE {
        let list = source.get(name);
        if action == "CUSTOM" && list.len() > 0 && SOURCE[IDENTITY].contains(&name) {
            findings.error(&list, "is not supported with action CUSTOM");
        }
        for item in list.items() {
            let kind = name.to_ascii_lowercase();
            match () {
                () if item.text().is_empty() => findings.error(&item, "is empty"),
                () if kind.ends_with("remoteipblocks") => {
                    value(findings, &item, &Attribute::RemoteIp);
                }
                () if kind.ends_with("ipblocks") => value(findings, &item, &Attribute::SourceIp),
                () if kind.ends_with("serviceaccounts") => account(findings, &item),
                () if kind.ends_with("trustdomains") => trust_domain(findings, &item),
                () => {}
            }
        }
    }
}

fn to(findings: &mut Findings, operation: &Field) {
    if OPERATION.iter().all(|name| operation.get(name).len() == 0) {
        findings.missing(
            operation,
            format!("is empty, expected one of {}", OPERATION.join(", ")),
        );
    }
    for name in OPERATION {
        for item in operation.get(name).items() {
            match name {
                _ if item.text().is_empty() => findings.error(&item, "is empty"),
                "ports" | "notPorts" => value(findings, &item, &Attribute::DestinationPort),
                "paths" | "notPaths" => path(findings, &item),
                _ => {}
            }
        }
    }
}

/// A value that an attribute is compared with.
fn value(findings: &mut Findings, item: &Field, attribute: &Attribute) {
    let text = item.text();
    match attribute {
        Attribute::ServiceAccount => account(findings, item),
        Attribute::TrustDomain => wildcard(findings, item),
        known if known.takes(text) => {}
        Attribute::DestinationPort => {
            findings.error(item, format!("{text:?} is no port, expected 0 to 65535"));
        }
        _ => findings.error(
            item,
            format!("{text:?} is neither an IP address nor a CIDR"),
        ),
    }
}

fn account(findings: &mut Findings, item: &Field) {
    let text = item.text();
    let parts: Vec<&str> = text.split('/').collect();
    if text.contains('*') || parts.len() > 2 || parts.contains(&"") {
        findings.error(
            item,
            format!(
                "{text:?} is no service account, expected name or namespace/name without wildcards"
            ),
        );
    } else if text.len() > 320 {
        findings.error(
            item,
            format!("has {} characters, expected at most 320", text.len()),
        );
    }
}

fn trust_domain(findings: &mut Findings, item: &Field) {
    wildcard(findings, item);
    if item.text().contains('/') {
        findings.error(
            item,
            format!("{:?} is no trust domain: it has a /", item.text()),
        );
    }
}

/// At most one `*`, at either end.
fn wildcard(findings: &mut Findings, item: &Field) {
    let text = item.text();
    let inner = text.trim_start_matches('*').trim_end_matches('*');
    if text.matches('*').count() > 1 || inner.contains('*') {
        findings.error(item, format!("{text:?} has more than one *, or one inside; expected it at the start or at the end"));
    }
}

/// A path; `{*}` stands for one segment, `{**}` for the rest.
fn path(findings: &mut Findings, item: &Field) {
    let text = item.text();
    let braces = || {
        let mut segments = text.split('/');
        segments.find(|segment| segment.contains(['{', '}']))
    };
    match is_template(text).then(|| template(text)) {
        Some(Ok(_)) => {}
        // Upstream takes it.
        Some(Err(reason)) if !text.starts_with('/') && template(&format!("/{text}")).is_ok() => {
            findings.warning(item, format!("{text:?} {reason}, as every path does"));
        }
        Some(Err(reason)) => findings.error(item, format!("{text:?} {reason}")),
        None => {
            if let Some(segment) = braces() {
                findings.error(item, format!("{text:?} has braces in {segment:?}, expected {{*}} or {{**}} as a whole segment"));
            }
        }
    }
}

fn when(findings: &mut Findings, condition: &Field, action: &str) {
    let key = condition.get("key");
    let name = key.text();
    if name.is_empty() {
        findings.missing(&key, "is required");
        return;
    }
    let lists = ["values", "notValues"].map(|name| condition.get(name));
    if lists.iter().all(|list| list.len() == 0) {
        findings.missing(&condition.get("values"), "is required, or notValues");
        return;
    }
    let identity = [
        "source.namespace",
        "source.serviceAccount",
        "source.trustDomain",
        "source.principal",
    ];
    if action == "CUSTOM" && (identity.contains(&name) || name.starts_with("request.auth.")) {
        findings.error(&key, format!("{name} is not supported with action CUSTOM"));
    }
    let items = || lists.iter().flat_map(Field::items);
    for item in items().filter(|item| item.text().is_empty()) {
        findings.error(&item, "is empty");
    }
    let named = [
        "request.headers",
        "request.auth.claims",
        "experimental.envoy.filters.",
    ];
    if named.iter().any(|prefix| name.starts_with(prefix)) {
        let open = name.find('[');
        let inside = open.is_some_and(|open| open > 0 && open + 2 < name.len());
        if !inside || !name.ends_with(']') {
            findings.error(
                &key,
                format!(
                    "{name} names nothing, expected the form {}[name]",
                    name.split('[').next().unwrap_or(name)
                ),
            );
            return;
        }
    }
    match Attribute::parse(name) {
        Some(attribute) => items().for_each(|item| value(findings, &item, &attribute)),
        None if name == "destination.namespace" => findings.error(&key, "is decided by metadata.namespace"),
        None if name.starts_with("destination.labels") => findings.error(&key, "is decided by the selector"),
        None => findings.error(&key, format!("{name} is no attribute, expected source.*, destination.ip, destination.port, request.headers[…], request.auth.*, remote.ip or connection.sni")),
    }
}
