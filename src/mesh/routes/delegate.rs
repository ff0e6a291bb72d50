//! Delegates: the rules of another VirtualService in the place of one rule of the root. A rule of
//! the delegate keeps the conditions of both; one that contradicts the root's is left out.

use api::networking::matching::StringMatch;
use api::networking::virtual_service::{HttpMatch, HttpRoute, VirtualService};
use base::Problem;

use super::Routing;

/// Whether no rule stands in another VirtualService.
pub(super) fn is_whole(spec: &VirtualService) -> bool {
    spec.http.iter().all(|route| route.delegate.is_none())
}

pub(super) fn merge(root: &Routing, all: &[Routing], problems: &mut Vec<Problem>) -> Routing {
    if is_whole(&root.spec) {
        return root.clone();
    }
    let mut merged = root.clone();
    merged.spec.http.clear();
    for (index, route) in root.spec.http.iter().enumerate() {
        let Some(delegate) = &route.delegate else {
            merged.spec.http.push(route.clone());
            continue;
        };
        let found = all.iter().find(|other| {
            other.name == delegate.name
                && other.namespace == delegate.namespace
                && other.spec.hosts.is_empty()
        });
        let found = found.filter(|other| other.visibility.includes(&root.namespace));
        let name = format!("{}/{}", delegate.namespace, delegate.name);
        let Some(found) = found else {
            problems.push(Problem::warning(
                &root.origin[0],
                format!("spec.http[{index}].delegate"),
                "DelegateNotFound",
                format!(
                    "names {name}, expected a VirtualService without hosts that exports to {}",
                    root.namespace
                ),
            ));
            continue;
        };
        merged.origin.extend(found.origin.iter().cloned());
        for (place, own) in found.spec.http.iter().enumerate() {
            match join(route, own) {
                Some(joined) => merged.spec.http.push(joined),
                None => problems.push(Problem::warning(
                    &root.origin[0],
                    format!("spec.http[{index}].delegate"),
                    "DelegateConflict",
                    format!(
                        "http[{place}] of {name} matches nothing that this rule does, expected its \
                         conditions within those of the rule"
                    ),
                )),
            }
        }
    }
    merged
}

/// A rule of the delegate under a rule of the root; `None` when they contradict.
fn join(root: &HttpRoute, delegate: &HttpRoute) -> Option<HttpRoute> {
    let mut joined = delegate.clone();
    // Delegates do not nest.
    joined.delegate = None;
    joined.r#match = match (root.r#match.is_empty(), delegate.r#match.is_empty()) {
        (true, _) => delegate.r#match.clone(),
        (false, true) => root.r#match.clone(),
        (false, false) => conditions(&root.r#match, &delegate.r#match)?,
    };
    joined.name = joined_name(&root.name, &delegate.name);
    macro_rules! inherit {
        ($($field:ident),*) => {$(
            if joined.$field.is_none() {
                joined.$field.clone_from(&root.$field);
            }
        )*};
    }
    inherit!(
        rewrite,
        direct_response,
        timeout,
        retries,
        fault,
        mirror,
        mirror_percent,
        mirror_percentage,
        cors_policy,
        headers
    );
    if joined.mirrors.is_empty() {
        joined.mirrors.clone_from(&root.mirrors);
    }
    Some(joined)
}

/// Each condition of the delegate with each of the root that it does not contradict; `None` when
/// one of the delegate's contradicts them all.
fn conditions(outer: &[HttpMatch], inner: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    let mut found = Vec::new();
    for own in inner {
        let before = found.len();
        let agreeing = outer.iter().filter(|outer| !contradict(outer, own));
        found.extend(agreeing.map(|outer| both(outer, own)));
        if found.len() == before {
            return None;
        }
    }
    Some(found)
}

fn joined_name(outer: &str, inner: &str) -> String {
    match (outer, inner) {
        (outer, "") => outer.to_owned(),
        ("", inner) => inner.to_owned(),
        (outer, inner) => format!("{outer}-{inner}"),
    }
}

/// Both conditions at once. What the inner one says of a field goes before the outer one's.
fn both(outer: &HttpMatch, inner: &HttpMatch) -> HttpMatch {
    let mut joined = inner.clone();
    macro_rules! string {
        ($($field:ident),*) => {$(
            if joined.$field.is_none() {
                joined.$field.clone_from(&outer.$field);
            }
        )*};
    }
    string!(uri, scheme, method, authority);
    macro_rules! table {
        ($($field:ident),*) => {$(
            for (key, value) in &outer.$field {
                let own = joined.$field.entry(key.clone());
                own.or_insert_with(|| value.clone());
            }
        )*};
    }
    table!(headers, without_headers, query_params, source_labels);
    if joined.port == 0 {
        joined.port = outer.port;
    }
    macro_rules! text {
        ($($field:ident),*) => {$(
            if joined.$field.is_empty() {
                joined.$field.clone_from(&outer.$field);
            }
        )*};
    }
    text!(gateways, source_namespace, stat_prefix);
    joined.name = joined_name(&outer.name, &inner.name);
    joined
}

/// Whether the inner condition reaches beyond the outer one.
fn contradict(outer: &HttpMatch, inner: &HttpMatch) -> bool {
    let strings = [
        (&outer.uri, &inner.uri),
        (&outer.scheme, &inner.scheme),
        (&outer.method, &inner.method),
        (&outer.authority, &inner.authority),
    ];
    let tables = [
        (&outer.headers, &inner.headers),
        (&outer.without_headers, &inner.without_headers),
        (&outer.query_params, &inner.query_params),
    ];
    strings
        .iter()
        .any(|(outer, inner)| beyond(outer.as_ref(), inner.as_ref()))
        || tables.iter().any(|(outer, inner)| {
            inner
                .iter()
                .any(|(key, value)| beyond(outer.get(key), Some(value)))
        })
        || outer.ignore_uri_case != inner.ignore_uri_case
        || outer.port != 0 && inner.port != 0 && outer.port != inner.port
        || !outer.source_namespace.is_empty() && outer.source_namespace != inner.source_namespace
        || inner.source_labels.iter().any(|(key, value)| {
            let known = outer.source_labels.get(key);
            known.is_some_and(|known| known != value)
        })
        || !outer.gateways.is_empty()
            && inner
                .gateways
                .iter()
                .any(|name| !outer.gateways.contains(name))
}

/// Whether the inner string condition holds of strings that the outer one does not hold of. Regular
/// expressions are never compared with anything.
fn beyond(outer: Option<&StringMatch>, inner: Option<&StringMatch>) -> bool {
    use StringMatch::{Exact, Prefix};
    match (outer, inner) {
        (None, _) | (_, None) => false,
        (Some(Prefix(outer)), Some(Prefix(text) | Exact(text))) => {
            !text.starts_with(outer.as_str())
        }
        (Some(Exact(a)), Some(Exact(b))) => a != b,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
