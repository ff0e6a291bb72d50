//! Which virtual host a request is for, and which of its routes takes it.

use base::ObjectRef;
use proto::envoy::config::route::v3 as wire;
use wire::route_match::PathSpecifier;
use wire::virtual_host::TlsRequirementType;

use super::answer::{Stage, Step, step};
use super::call::{Request, without_port};
use super::http::share;
use super::matching;
use super::view::{Host, object};

/// What takes a request.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// A route.
    Route {
        route: Box<wire::Route>,
        host: Box<wire::VirtualHost>,
    },
    /// The virtual host wants TLS: the caller is sent there.
    ToTls,
    /// Nothing.
    Nothing,
}

/// What takes a request, and how it was found.
pub(super) struct Way {
    pub(super) steps: Vec<Step>,
    /// With how often each is taken.
    pub(super) routes: Vec<(f64, Found)>,
}

/// The virtual host by the host that is asked for, then the first of its routes that matches.
pub(super) fn find(routes: &wire::RouteConfiguration, hosts: Vec<Host>, request: &Request) -> Way {
    let asked = request.authority.to_ascii_lowercase();
    let asked = if routes.ignore_port_in_host_matching {
        without_port(&asked)
    } else {
        &asked
    };
    let best = hosts
        .into_iter()
        .flat_map(|(host, origin)| {
            let ranks = host.domains.iter();
            let best = ranks
                .filter_map(|domain| Some((rank(domain, asked)?, domain.clone())))
                .max();
            best.map(|(rank, domain)| (rank, domain, host, origin))
        })
        .max_by(|(one, ..), (other, ..)| one.cmp(other));
    let Some((_, domain, host, origin)) = best else {
        let said = format!("no virtual host has a domain for {asked}");
        return Way {
            steps: vec![step(Stage::VirtualHost, "none", said, &[])],
            routes: vec![(1.0, Found::Nothing)],
        };
    };
    let mut steps = vec![step(
        Stage::VirtualHost,
        &host.name,
        format!("domain {domain} is for {asked}"),
        &origin,
    )];
    if host.require_tls == TlsRequirementType::All as i32 && request.scheme != "https" {
        let said = "wants TLS";
        steps.push(step(Stage::Route, "redirect to TLS", said, &origin));
        return Way {
            steps,
            routes: vec![(1.0, Found::ToTls)],
        };
    }
    let mut left = 1.0;
    let mut found = Vec::new();
    for route in &host.routes {
        let matched = route.r#match.clone().unwrap_or_default();
        if left <= 0.0 || !matching::route(&matched, request) {
            continue;
        }
        let fraction = matched.runtime_fraction.as_ref();
        let taken = fraction.map_or(1.0, |own| share(own.default_value.as_ref()));
        let whole = Found::Route {
            route: Box::new(route.clone()),
            host: Box::new(host.clone()),
        };
        found.push((left * taken, whole));
        left *= 1.0 - taken;
    }
    if left > 0.0 {
        found.push((left, Found::Nothing));
        if found.len() == 1 {
            let count = host.routes.len();
            let said = format!(
                "of {count} routes none takes {} {}",
                request.method, request.path
            );
            steps.push(step(Stage::Route, "none", said, &objects(&host)));
        }
    }
    Way {
        steps,
        routes: found,
    }
}

/// How closely a domain fits a host: itself, then the longest suffix, then the longest prefix, then
/// the domain of all.
fn rank(domain: &str, host: &str) -> Option<(u8, usize)> {
    let domain = domain.to_ascii_lowercase();
    if domain == "*" {
        return Some((0, 0));
    }
    if let Some(suffix) = domain.strip_prefix('*') {
        let fits = host.len() > suffix.len() && host.ends_with(suffix);
        return fits.then_some((2, suffix.len()));
    }
    if let Some(prefix) = domain.strip_suffix('*') {
        let fits = host.len() > prefix.len() && host.starts_with(prefix);
        return fits.then_some((1, prefix.len()));
    }
    (domain == host).then_some((3, domain.len()))
}

/// The VirtualServices of a virtual host's routes.
fn objects(host: &wire::VirtualHost) -> Vec<ObjectRef> {
    let all = host.routes.iter();
    let mut found: Vec<ObjectRef> = all
        .filter_map(|route| object(route.metadata.as_ref()))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// A route as its condition says it.
pub(super) fn described(route: &wire::Route, host: &wire::VirtualHost) -> Step {
    let matched = route.r#match.clone().unwrap_or_default();
    let mut said = Vec::new();
    match &matched.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) if prefix == "/" => {}
        Some(PathSpecifier::Prefix(prefix)) => said.push(format!("path {prefix}…")),
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => {
            said.push(format!("path {prefix} or below"));
        }
        Some(PathSpecifier::Path(path)) => said.push(format!("path {path}")),
        Some(PathSpecifier::SafeRegex(pattern)) => said.push(format!("path ~ {}", pattern.regex)),
        _ => {}
    }
    for header in &matched.headers {
        let not = if header.invert_match { "not " } else { "" };
        said.push(format!("{not}header {}", header.name));
    }
    let parameters = matched.query_parameters.iter();
    said.extend(parameters.map(|own| format!("parameter {}", own.name)));
    let place = host.routes.iter().position(|own| own == route);
    let place = place.map_or(0, |place| place + 1);
    let name = match route.name.as_str() {
        "" => format!("{place} of {}", host.routes.len()),
        name => name.to_owned(),
    };
    let said = if said.is_empty() {
        "takes every request".to_owned()
    } else {
        format!("takes {}", said.join(", "))
    };
    let origin: Vec<ObjectRef> = object(route.metadata.as_ref()).into_iter().collect();
    step(Stage::Route, name, said, &origin)
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn the_closest_domain_wins() {
        let domains = ["a.b", "*.b", "*.a.b", "a.*", "*"];
        let best = |host: &str| {
            let ranked = domains.iter();
            let best = ranked.filter_map(|domain| Some((rank(domain, host)?, *domain)));
            best.max().map(|(_, domain)| domain)
        };
        for (host, expected) in [
            ("a.b", "a.b"),
            ("c.b", "*.b"),
            ("c.a.b", "*.a.b"),
            ("a.c", "a.*"),
            ("x", "*"),
            (".b", "*"),
        ] {
            assert_eq!(best(host), Some(expected), "{host}");
        }
    }
}
