//! Header changes of a route or of one of its destinations.

use api::networking::virtual_service::{HeaderOperations, Headers};
use proto::envoy::config::core::v3::{
    HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction,
};
use proto::envoy::config::route::v3 as wire;
use proto::pack::Put;
use proto::writer::Writer;

struct Changes {
    add: Vec<HeaderValueOption>,
    remove: Vec<String>,
    authority: String,
}

/// Writes changes as fields of a route; gives the authority that requests get by them.
pub(super) fn put(headers: &Headers, route: &mut Writer) -> String {
    let request = of(&headers.request);
    let response = of(&headers.response);
    let own = wire::Route {
        request_headers_to_add: request.add,
        request_headers_to_remove: request.remove,
        response_headers_to_add: response.add,
        response_headers_to_remove: response.remove,
        ..Default::default()
    };
    own.put(route);
    request.authority
}

/// The same for one weighted destination.
pub(super) fn apply_weighted(
    headers: &Headers,
    cluster: &mut wire::weighted_cluster::ClusterWeight,
) {
    let request = of(&headers.request);
    let response = of(&headers.response);
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

fn of(operations: &HeaderOperations) -> Changes {
    let mut changes = Changes {
        add: Vec::new(),
        remove: Vec::new(),
        authority: String::new(),
    };
    // What is replaced first, then what is added; the host that is set goes before one that is added.
    let both = [
        (&operations.set, HeaderAppendAction::OverwriteIfExistsOrAdd),
        (&operations.add, HeaderAppendAction::AppendIfExistsOrAdd),
    ];
    for (list, action) in both {
        for (name, value) in list {
            if is_authority(name) && changes.authority.is_empty() {
                changes.authority.clone_from(value);
            }
            if is_internal(name) {
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
    let removable = operations.remove.iter();
    changes.remove = removable
        .filter(|name| !is_internal(name))
        .cloned()
        .collect();
    changes
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
}

/// The host is part of the route itself; other pseudo headers cannot be changed.
fn is_internal(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case("host")
}
