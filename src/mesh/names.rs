//! Host names: wildcards, and short names relative to a namespace.

/// Whether a host begins with `*`.
pub fn is_wildcard(host: &str) -> bool {
    host.starts_with('*')
}

/// Whether every name that `inner` stands for is also one of `outer`.
pub fn subset_of(inner: &str, outer: &str) -> bool {
    match (inner.strip_prefix('*'), outer.strip_prefix('*')) {
        (None, None) => inner == outer,
        (Some(_), None) => false,
        (None, Some(suffix)) => inner.len() > suffix.len() && inner.ends_with(suffix),
        (Some(inner), Some(outer)) => inner.ends_with(outer),
    }
}

/// Whether two hosts have a name in common.
pub fn covers(a: &str, b: &str) -> bool {
    subset_of(a, b) || subset_of(b, a)
}

/// A short name as its namespace means it; names with a dot and addresses stay as they are.
pub fn resolve(host: &str, namespace: &str, domain: &str) -> String {
    let address = host.parse::<std::net::IpAddr>().is_ok();
    if host.is_empty() || host.contains('.') || host == "*" || address {
        host.to_owned()
    } else {
        format!("{host}.{namespace}.svc.{domain}")
    }
}
