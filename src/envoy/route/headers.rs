//! Header changes of a route or of one of its destinations.

use api::networking::virtual_service::{HeaderOperations, Headers};
use proto::envoy::config::core::v3::{
    HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction,
};
use proto::envoy::config::route::v3 as wire;

struct Changes {
    add: Vec<HeaderValueOption>,
    remove: Vec<String>,
    authority: String,
}

/// Puts changes on a route; gives the authority that requests get by them.
pub(super) fn apply(headers: &Headers, route: &mut wire::Route) -> String {
    let request = of(&headers.request, true);
    let response = of(&headers.response, false);
    route.request_headers_to_add = request.add;
    route.request_headers_to_remove = request.remove;
    route.response_headers_to_add = response.add;
    route.response_headers_to_remove = response.remove;
    request.authority
}

/// The same for one weighted destination.
pub(super) fn apply_weighted(
    headers: &Headers,
    cluster: &mut wire::weighted_cluster::ClusterWeight,
) {
    let request = of(&headers.request, true);
    let response = of(&headers.response, false);
    cluster.request_headers_to_add = request.add;
    cluster.request_headers_to_remove = request.remove;
    cluster.response_headers_to_add = response.add;
    cluster.response_headers_to_remove = response.remove;
    if !request.authority.is_empty() {
        cluster.host_rewrite_specifier = Some(
            wire::weighted_cluster::cluster_weight::HostRewriteSpecifier::HostRewriteLiteral(
                request.authority,
            ),
        );
    }
}

fn of(operations: &HeaderOperations, request: bool) -> Changes {
    let mut changes = Changes {
        add: Vec::new(),
        remove: Vec::new(),
        authority: String::new(),
    };
    let is_authority = |name: &str| name.eq_ignore_ascii_case("host") || name == ":authority";
    // The host is part of the route itself; other pseudo headers cannot be changed.
    let both = [
        (&operations.set, HeaderAppendAction::OverwriteIfExistsOrAdd),
        (&operations.add, HeaderAppendAction::AppendIfExistsOrAdd),
    ];
    for (list, action) in both {
        for (name, value) in list {
            if is_authority(name) {
                if request && action == HeaderAppendAction::OverwriteIfExistsOrAdd {
                    changes.authority = value.clone();
                }
                continue;
            }
            if name.starts_with(':') {
                continue;
            }
            changes.add.push(HeaderValueOption {
                header: Some(HeaderValue {
                    key: name.clone(),
                    value: value.clone(),
                    ..Default::default()
                }),
                append_action: action as i32,
                ..Default::default()
            });
        }
    }
    changes.add.sort_by(|a, b| key(a).cmp(key(b)));
    let removable = operations.remove.iter();
    changes.remove = removable
        .filter(|name| !is_authority(name) && !name.starts_with(':'))
        .cloned()
        .collect();
    changes
}

fn key(option: &HeaderValueOption) -> &str {
    option
        .header
        .as_ref()
        .map_or("", |header| header.key.as_str())
}
