//! Delegates: the rules of another VirtualService in the place of one rule of the root. A rule of
//! the delegate keeps the conditions of both; one that contradicts the root's is left out.

use api::networking::matching::StringMatch;
use api::networking::virtual_service::{HttpMatch, HttpRoute};
use base::Problem;

use super::Routing;

pub(super) fn merge(root: &Routing, all: &[Routing], problems: &mut Vec<Problem>) -> Routing {
    if root.spec.http.iter().all(|route| route.delegate.is_none()) {
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
        let Some(found) = found else {
            let name = format!("{}/{}", delegate.namespace, delegate.name);
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
        for own in &found.spec.http {
            merged.spec.http.extend(join(route, own));
        }
    }
    merged
}

/// A rule of the delegate under a rule of the root; `None` when they contradict.
fn join(root: &HttpRoute, delegate: &HttpRoute) -> Option<HttpRoute> {
    // Delegates do not nest.
    if delegate.delegate.is_some() {
        return None;
    }
    let mut joined = delegate.clone();
    joined.r#match = match (root.r#match.is_empty(), delegate.r#match.is_empty()) {
        (true, _) => delegate.r#match.clone(),
        (false, true) => root.r#match.clone(),
        (false, false) => {
            let pairs = root.r#match.iter().flat_map(|outer| {
                let inner = delegate.r#match.iter();
                inner.map(move |inner| both(outer, inner))
            });
            let found: Vec<HttpMatch> = pairs.flatten().collect();
            if found.is_empty() {
                return None;
            }
            found
        }
    };
    joined.name = match (root.name.as_str(), delegate.name.as_str()) {
        (outer, "") => outer.to_owned(),
        ("", inner) => inner.to_owned(),
        (outer, inner) => format!("{outer}-{inner}"),
    };
    macro_rules! inherit {
        ($($field:ident),*) => {$(
            if joined.$field.is_none() {
                joined.$field = root.$field.clone();
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
        joined.mirrors = root.mirrors.clone();
    }
    Some(joined)
}

/// Both conditions at once; `None` when the outer one excludes the inner.
fn both(outer: &HttpMatch, inner: &HttpMatch) -> Option<HttpMatch> {
    let mut joined = inner.clone();
    macro_rules! string {
        ($($field:ident),*) => {$(
            joined.$field = narrower(&outer.$field, &inner.$field)?;
        )*};
    }
    string!(uri, scheme, method, authority);
    for (mine, theirs) in [
        (&mut joined.headers, &outer.headers),
        (&mut joined.without_headers, &outer.without_headers),
        (&mut joined.query_params, &outer.query_params),
    ] {
        for (name, value) in theirs {
            if mine.contains_key(name) {
                return None;
            }
            mine.insert(name.clone(), value.clone());
        }
    }
    for (name, value) in &outer.source_labels {
        if joined
            .source_labels
            .get(name)
            .is_some_and(|own| own != value)
        {
            return None;
        }
        joined.source_labels.insert(name.clone(), value.clone());
    }
    if outer.port != 0 {
        if inner.port != 0 && inner.port != outer.port {
            return None;
        }
        joined.port = outer.port;
    }
    if joined.gateways.is_empty() {
        joined.gateways = outer.gateways.clone();
    }
    if joined.source_namespace.is_empty() {
        joined.source_namespace = outer.source_namespace.clone();
    }
    joined.ignore_uri_case |= outer.ignore_uri_case;
    if joined.stat_prefix.is_empty() {
        joined.stat_prefix = outer.stat_prefix.clone();
    }
    joined.name = match (outer.name.as_str(), inner.name.as_str()) {
        (outer, "") => outer.to_owned(),
        ("", inner) => inner.to_owned(),
        (outer, inner) => format!("{outer}-{inner}"),
    };
    Some(joined)
}

/// The inner condition where it lies within the outer one.
fn narrower(
    outer: &Option<StringMatch>,
    inner: &Option<StringMatch>,
) -> Option<Option<StringMatch>> {
    use StringMatch::{Exact, Prefix, Regex};
    match (outer, inner) {
        (None, other) | (other, None) => Some(other.clone()),
        (Some(outer), Some(inner)) => match (outer, inner) {
            (Prefix(outer), Prefix(text) | Exact(text)) if text.starts_with(outer.as_str()) => {
                Some(Some(inner.clone()))
            }
            (Exact(a), Exact(b)) | (Regex(a), Regex(b)) if a == b => Some(Some(inner.clone())),
            _ => None,
        },
    }
}
