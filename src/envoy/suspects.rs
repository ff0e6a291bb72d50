//! Which objects are to blame for a resource that a proxy refused: those that it was made from, and of a route
//! configuration only those whose virtual hosts differ from what the proxy accepted before.

use std::collections::{BTreeMap, BTreeSet};

use base::ObjectRef;
use proto::codec::{self, type_url};
use proto::envoy::config::route::v3::VirtualHost;
use proto::google::protobuf::value::Kind;

use crate::{Resource, names};

/// The origin of `refused`, narrowed by what the proxy `accepted` of the same name before. Never empty unless
/// the origin is.
pub fn suspects(type_url: &str, refused: &Resource, accepted: Option<&Resource>) -> Vec<ObjectRef> {
    let origin = || refused.origin.iter().map(AsRef::as_ref);
    if type_url != type_url::ROUTE || refused.origin.len() < 2 {
        return origin().cloned().collect();
    }
    let paths = changed_hosts(refused, accepted)
        .iter()
        .flat_map(paths)
        .collect::<BTreeSet<_>>();
    let from_paths = origin().filter(|origin| paths.contains(&names::config_path(origin)));
    let narrowed: Vec<ObjectRef> = from_paths.cloned().collect();
    // Routes that no object of a user is written into say nothing.
    match narrowed.is_empty() {
        true => origin().cloned().collect(),
        false => narrowed,
    }
}

/// Virtual hosts of `refused` that `accepted` does not have alike.
fn changed_hosts(refused: &Resource, accepted: Option<&Resource>) -> Vec<VirtualHost> {
    let hosts = |resource: &Resource| {
        let decoded = codec::decode_route(&resource.bytes());
        decoded.map_or_else(|_| Vec::new(), |route| route.virtual_hosts)
    };
    let before: BTreeMap<String, VirtualHost> = accepted
        .map(hosts)
        .unwrap_or_default()
        .into_iter()
        .map(|host| (host.name.clone(), host))
        .collect();
    let mut changed = hosts(refused);
    changed.retain(|host| before.get(&host.name) != Some(host));
    changed
}

/// The objects of users that the routes of a virtual host name in their metadata.
fn paths(host: &VirtualHost) -> Vec<String> {
    let metadata = host
        .routes
        .iter()
        .filter_map(|route| route.metadata.as_ref());
    let configs = metadata.filter_map(|metadata| {
        let fields = &metadata.filter_metadata.get("istio")?.fields;
        match fields.get("config")?.kind.as_ref()? {
            Kind::StringValue(path) => Some(path.clone()),
            _ => None,
        }
    });
    configs.collect()
}

#[cfg(test)]
mod tests {
    use base::ObjectRef;
    use proto::codec::{self, type_url};
    use proto::envoy::config::route::v3 as wire;

    use super::suspects;
    use crate::{Resource, metadata};

    fn object(name: &str) -> ObjectRef {
        ObjectRef {
            api_version: "networking.istio.io/v1".to_owned(),
            kind: "VirtualService".to_owned(),
            namespace: Some("shop".to_owned()),
            name: name.to_owned(),
        }
    }

    /// A route configuration with a virtual host for each object, which says `content`.
    fn resource(hosts: &[(&str, &str)]) -> Resource {
        let host = |(name, content): &(&str, &str)| wire::VirtualHost {
            name: (*name).to_owned(),
            domains: vec![(*content).to_owned()],
            routes: vec![wire::Route {
                metadata: Some(metadata::config(&object(name))),
                ..Default::default()
            }],
            ..Default::default()
        };
        let route = wire::RouteConfiguration {
            name: "80".to_owned(),
            virtual_hosts: hosts.iter().map(host).collect(),
            ..Default::default()
        };
        let origin = hosts.iter().map(|(name, _)| object(name).into()).collect();
        let bytes = codec::encode_route(&route);
        Resource::new(type_url::ROUTE, "80", &bytes, origin)
    }

    #[test]
    fn only_virtual_hosts_that_changed_are_suspected() {
        let accepted = resource(&[("reviews", "1"), ("ratings", "1")]);
        let refused = resource(&[("reviews", "1"), ("ratings", "2"), ("details", "1")]);
        let found = suspects(type_url::ROUTE, &refused, Some(&accepted));
        assert_eq!(found, [object("details"), object("ratings")]);
    }

    #[test]
    fn without_anything_accepted_everything_is_suspected() {
        let refused = resource(&[("reviews", "1"), ("ratings", "2")]);
        let found = suspects(type_url::ROUTE, &refused, None);
        assert_eq!(found, [object("ratings"), object("reviews")]);
    }

    #[test]
    fn a_change_that_no_route_explains_leaves_the_whole_origin() {
        let accepted = resource(&[("reviews", "1"), ("ratings", "1")]);
        let found = suspects(type_url::ROUTE, &accepted, Some(&accepted));
        assert_eq!(found.len(), 2);
        let clusters = suspects(type_url::CLUSTER, &accepted, Some(&accepted));
        assert_eq!(clusters.len(), 2);
    }
}
