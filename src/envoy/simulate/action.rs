//! What a route does with a request: to a cluster or one of several, changed on the way, or an answer.

use proto::envoy::config::core::v3::{DataSource, data_source};
use proto::envoy::config::core::v3::{HeaderValueOption, header_value_option::HeaderAppendAction};
use proto::envoy::config::route::v3 as wire;
use proto::google::protobuf;
use wire::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};
use wire::route_action::{ClusterSpecifier, HostRewriteSpecifier};
use wire::route_match::PathSpecifier;

use super::answer::{Answer, Outcome, Stage, refused, step};
use super::call::{Connection, Content, Request, without_port};
use super::cluster::Asked;
use super::http::{Way, share};
use super::matching;

pub(super) fn take(way: &Way<'_>, route: &wire::Route) -> Answer {
    match &route.action {
        Some(wire::route::Action::Route(action)) => forward(way, route, action),
        Some(wire::route::Action::Redirect(to)) => Answer::of(redirect(to, route, way.request)),
        Some(wire::route::Action::DirectResponse(answer)) => Answer::of(Outcome::DirectResponse {
            status: answer.status,
            why: why(route, answer.body.as_ref()),
        }),
        _ => refused(None, "the route has an action that leads nowhere"),
    }
}

/// Why a route answers by itself.
fn why(route: &wire::Route, body: Option<&DataSource>) -> String {
    if route.name == "block_all" {
        return "unknown hosts are not allowed (REGISTRY_ONLY)".to_owned();
    }
    match body.and_then(|body| body.specifier.as_ref()) {
        Some(data_source::Specifier::InlineString(text)) => {
            format!("the answer of the route: {text:?}")
        }
        Some(_) => "the answer of the route".to_owned(),
        None => "the answer of the route, without a body".to_owned(),
    }
}

fn forward(way: &Way<'_>, route: &wire::Route, action: &wire::RouteAction) -> Answer {
    let mut request = way.request.clone();
    rewrite(action, route, &mut request);
    change(
        &route.request_headers_to_add,
        &route.request_headers_to_remove,
        &mut request,
    );
    let status = match action.cluster_not_found_response_code {
        1 => 404,
        2 => 500,
        _ => 503,
    };
    let answer = match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => to(way, name, request.clone(), status),
        Some(ClusterSpecifier::WeightedClusters(all)) => {
            let weight = |own: &wire::weighted_cluster::ClusterWeight| {
                own.weight
                    .as_ref()
                    .map_or(0.0, |weight| f64::from(weight.value))
            };
            let sum: f64 = all.clusters.iter().map(weight).sum();
            let parts = all.clusters.iter().map(|own| {
                let mut request = request.clone();
                change(
                    &own.request_headers_to_add,
                    &own.request_headers_to_remove,
                    &mut request,
                );
                (weight(own) / sum, to(way, &own.name, request, status))
            });
            Answer::split(parts.collect())
        }
        Some(ClusterSpecifier::ClusterHeader(name)) => match way.request.header(name) {
            Some(cluster) => to(way, &cluster, request.clone(), status),
            None => refused(Some(status), format!("no header {name} names the cluster")),
        },
        _ => refused(Some(status), "the route names no cluster"),
    };
    let notes = notes(way.request, &request, action);
    if notes.is_empty() || way.hop.delivered.is_some() {
        return answer;
    }
    answer.after(vec![step(Stage::Route, "with", notes.join(", "), &[])])
}

fn to(way: &Way<'_>, cluster: &str, request: Request, status: u32) -> Answer {
    let asked = Asked {
        host: request.authority.clone(),
        http2: request.http2,
        alpn: way.alpn,
        missing: status,
    };
    let connection = Connection {
        content: Content::Http(request),
        ..way.connection.clone()
    };
    way.hop.cluster(cluster, &connection, Some(&asked))
}

/// What else a route says.
fn notes(before: &Request, after: &Request, action: &wire::RouteAction) -> Vec<String> {
    let mut found = Vec::new();
    if before.path != after.path {
        found.push(format!("path {}", after.path));
    }
    if before.authority != after.authority {
        found.push(format!("host {}", after.authority));
    }
    let timeout = action
        .timeout
        .as_ref()
        .filter(|own| (own.seconds, own.nanos) != (0, 0));
    found.extend(timeout.map(|own| format!("timeout {}", span(own))));
    if let Some(retry) = &action.retry_policy {
        let count = retry.num_retries.as_ref().map_or(1, |count| count.value);
        let each = retry.per_try_timeout.as_ref();
        let each = each
            .map(|own| format!(" of {}", span(own)))
            .unwrap_or_default();
        if count > 0 {
            found.push(format!("up to {count} retries{each}"));
        }
    }
    for mirror in &action.request_mirror_policies {
        let part = mirror.runtime_fraction.as_ref();
        let part = part.map_or(1.0, |own| share(own.default_value.as_ref()));
        found.push(format!("{}% mirrored to {}", part * 100.0, mirror.cluster));
    }
    if !action.hash_policy.is_empty() {
        found.push("the endpoint chosen by hash".to_owned());
    }
    found
}

fn span(span: &protobuf::Duration) -> String {
    let exact = std::time::Duration::new(
        u64::try_from(span.seconds).unwrap_or_default(),
        u32::try_from(span.nanos).unwrap_or_default(),
    );
    format!("{exact:?}")
}

/// The part of the path that a route's condition is about.
fn matched(route: &wire::Route, request: &Request) -> usize {
    let path = request.path_only().len();
    let specifier = route
        .r#match
        .as_ref()
        .and_then(|own| own.path_specifier.as_ref());
    match specifier {
        Some(PathSpecifier::Prefix(prefix) | PathSpecifier::PathSeparatedPrefix(prefix)) => {
            prefix.len().min(path)
        }
        _ => path,
    }
}

/// Path and host as the other side sees them.
fn rewrite(action: &wire::RouteAction, route: &wire::Route, request: &mut Request) {
    if !action.prefix_rewrite.is_empty() {
        let rest = &request.path[matched(route, request)..];
        request.path = format!("{}{rest}", action.prefix_rewrite);
    }
    if let Some(own) = &action.regex_rewrite {
        let pattern = own.pattern.as_ref().map_or("", |own| own.regex.as_str());
        request.path = substituted(&request.path, pattern, &own.substitution);
    }
    if let Some(HostRewriteSpecifier::HostRewriteLiteral(host)) = &action.host_rewrite_specifier {
        request.authority.clone_from(host);
    }
}

/// Every match in the path, its query left alone; `\1` stands for a group.
fn substituted(path: &str, pattern: &str, by: &str) -> String {
    let Some(regex) = matching::regex(pattern) else {
        return path.to_owned();
    };
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let (path, query) = path.split_at(end);
    let mut template = String::new();
    let mut letters = by.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                template.push_str(&format!("${{{digit}}}"));
                letters.next();
            }
            ('\\', Some('\\')) => {
                template.push('\\');
                letters.next();
            }
            ('$', _) => template.push_str("$$"),
            _ => template.push(letter),
        }
    }
    let made = regex.replace_all(path.as_bytes(), template.as_bytes());
    format!("{}{query}", String::from_utf8_lossy(&made))
}

/// Headers as the other side sees them.
fn change(add: &[HeaderValueOption], remove: &[String], request: &mut Request) {
    let headers = &mut request.headers;
    for name in remove {
        headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
    }
    for option in add {
        let Some(header) = &option.header else {
            continue;
        };
        let name = header.key.to_ascii_lowercase();
        if matches!(name.as_str(), ":authority" | "host") {
            request.authority.clone_from(&header.value);
            continue;
        }
        let there = headers.iter().any(|(own, _)| *own == name);
        let action = HeaderAppendAction::try_from(option.append_action);
        match action.unwrap_or(HeaderAppendAction::AppendIfExistsOrAdd) {
            HeaderAppendAction::AddIfAbsent if there => continue,
            HeaderAppendAction::OverwriteIfExists if !there => continue,
            HeaderAppendAction::OverwriteIfExistsOrAdd | HeaderAppendAction::OverwriteIfExists => {
                headers.retain(|(own, _)| *own != name);
            }
            _ => {}
        }
        headers.push((name, header.value.clone()));
    }
}

fn redirect(to: &wire::RedirectAction, route: &wire::Route, request: &Request) -> Outcome {
    let scheme = match &to.scheme_rewrite_specifier {
        Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => "https",
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => scheme.as_str(),
        _ => request.scheme.as_str(),
    };
    let mut host = request.authority.clone();
    let usual = format!(":{}", if request.scheme == "https" { 443 } else { 80 });
    if to.port_redirect != 0 || scheme != request.scheme && host.ends_with(&usual) {
        host = without_port(&host).to_owned();
    }
    if !to.host_redirect.is_empty() {
        host.clone_from(&to.host_redirect);
    }
    if to.port_redirect != 0 {
        host = format!("{host}:{}", to.port_redirect);
    }
    let mut path = request.path.clone();
    let query = request.path[request.path_only().len()..].to_owned();
    match &to.path_rewrite_specifier {
        Some(PathRewriteSpecifier::PathRedirect(own)) if !own.is_empty() => {
            path = if own.contains('?') {
                own.clone()
            } else {
                format!("{own}{query}")
            };
        }
        Some(PathRewriteSpecifier::PrefixRewrite(own)) => {
            path = format!("{own}{}", &request.path[matched(route, request)..]);
        }
        Some(PathRewriteSpecifier::RegexRewrite(own)) => {
            let pattern = own.pattern.as_ref().map_or("", |own| own.regex.as_str());
            path = substituted(&request.path, pattern, &own.substitution);
        }
        _ => {}
    }
    if to.strip_query {
        path.truncate(path.find('?').unwrap_or(path.len()));
    }
    let status = match RedirectResponseCode::try_from(to.response_code) {
        Ok(RedirectResponseCode::Found) => 302,
        Ok(RedirectResponseCode::SeeOther) => 303,
        Ok(RedirectResponseCode::TemporaryRedirect) => 307,
        Ok(RedirectResponseCode::PermanentRedirect) => 308,
        _ => 301,
    };
    Outcome::Redirect {
        status,
        location: format!("{scheme}://{host}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::substituted;

    #[test]
    fn groups_of_a_pattern_are_put_in() {
        let made = substituted("/v1/a/b?x=/v1/", "^/v1/([a-z]+)/", r"/\1/$/");
        assert_eq!(made, "/a/$/b?x=/v1/");
    }
}
