//! Which objects are to blame for a resource that a proxy refused: those that it was made from, but of those that
//! routes name only the ones in virtual hosts that differ from what the proxy accepted before.

use std::collections::{BTreeMap, BTreeSet};

use base::ObjectRef;
use proto::codec::{self, type_url};
use proto::envoy::config::route::v3::VirtualHost;
use proto::google::protobuf::value::Kind;

use crate::{Resource, names};

/// The origin of `refused`, narrowed by what the proxy `accepted` of the same name before. Never empty unless
/// the origin is.
pub fn suspects(type_url: &str, refused: &Resource, accepted: Option<&Resource>) -> Vec<ObjectRef> {
    let origin = || refused.origin.iter().map(|origin| &**origin);
    if type_url != type_url::ROUTE || refused.origin.len() < 2 {
        return origin().cloned().collect();
    }
    let before = accepted.map(hosts).unwrap_or_default();
    let before: BTreeMap<&str, &VirtualHost> = before
        .iter()
        .map(|host| (host.name.as_str(), host))
        .collect();
    // Objects that any route names, those of changed hosts, and whether each of these names some.
    let (mut named, mut meant) = (BTreeSet::<String>::new(), BTreeSet::<String>::new());
    let mut all = true;
    for host in &hosts(refused) {
        let paths = paths(host);
        if before.get(host.name.as_str()) != Some(&host) {
            all &= !paths.is_empty();
            meant.extend(paths.iter().cloned());
        }
        named.extend(paths);
    }
    // Routes that no object of a user is written into say nothing.
    if !origin().any(|origin| meant.contains(&names::config_path(origin))) {
        return origin().cloned().collect();
    }
    let suspected = origin().filter(|origin| {
        let path = names::config_path(origin);
        let is_host = matches!(origin.kind.as_str(), "Service" | "ServiceEntry" | "Gateway");
        // DestinationRules with a hash and delegates are in routes that do not name them. Those that only say which
        // hosts there are, are suspected where one changed of which no other object says anything.
        meant.contains(&path) || !(named.contains(&path) || is_host && all)
    });
    suspected.cloned().collect()
}

fn hosts(resource: &Resource) -> Vec<VirtualHost> {
    let decoded = codec::decode_route(&resource.bytes());
    decoded.map_or_else(|_| Vec::new(), |route| route.virtual_hosts)
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
    fn what_no_route_names_stays_suspected() {
        let of_kind = |kind: &str| ObjectRef {
            kind: kind.to_owned(),
            ..object("reviews")
        };
        let with = |hosts: &[(&str, &str)]| {
            let made = resource(hosts);
            let others =
                ["DestinationRule", "Gateway", "ServiceEntry"].map(|kind| of_kind(kind).into());
            let origin = made.origin.iter().cloned().chain(others).collect();
            Resource::new(type_url::ROUTE, "80", &made.bytes(), origin)
        };
        let accepted = with(&[("reviews", "1"), ("ratings", "1")]);
        let refused = with(&[("reviews", "2"), ("ratings", "1")]);
        let found = suspects(type_url::ROUTE, &refused, Some(&accepted));
        assert_eq!(found, [of_kind("DestinationRule"), object("reviews")]);
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
