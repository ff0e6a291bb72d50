use std::collections::BTreeMap;

use proto::envoy::config::rbac::v3 as wire;
use proto::envoy::extensions::filters::network::rbac::v3::Rbac;
use proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use wire::permission::Rule;
use wire::principal::{Authenticated, Identifier};

use super::connection;
use crate::simulate::call::{Connection, Content};

/// Rules of one policy for port 80 and callers of a service account.
fn rules(action: wire::rbac::Action) -> Rbac {
    let name = StringMatcher {
        match_pattern: Some(MatchPattern::Exact("spiffe://td/ns/a/sa/b".to_owned())),
        ..Default::default()
    };
    let policy = wire::Policy {
        permissions: vec![wire::Permission {
            rule: Some(Rule::DestinationPort(80)),
        }],
        principals: vec![wire::Principal {
            identifier: Some(Identifier::Authenticated(Authenticated {
                principal_name: Some(name),
            })),
        }],
        ..Default::default()
    };
    Rbac {
        rules: Some(wire::Rbac {
            action: action as i32,
            policies: BTreeMap::from([("ns[shop]-policy[web]-rule[0]".to_owned(), policy)]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn denied(filter: &Rbac, to: &str, peer: Option<&str>) -> Option<String> {
    let call = Connection {
        from: None,
        to: to.parse().expect("an address"),
        layers: Vec::new(),
        content: Content::Opaque,
        server_name: String::new(),
        peer: peer.map(str::to_owned),
    };
    connection(filter, &call).denied
}

#[test]
fn what_no_rule_allows_is_denied_and_the_policy_named() {
    let rules = rules(wire::rbac::Action::Allow);
    let known = Some("spiffe://td/ns/a/sa/b");
    assert_eq!(denied(&rules, "10.0.0.1:80", known), None);
    assert_eq!(
        denied(&rules, "10.0.0.1:81", known),
        Some(
            "access denied to spiffe://td/ns/a/sa/b: authorizationpolicy shop/web allows others"
                .to_owned()
        )
    );
    assert!(denied(&rules, "10.0.0.1:80", None).is_some());
}

#[test]
fn what_a_rule_denies_is_denied() {
    let rules = rules(wire::rbac::Action::Deny);
    assert!(denied(&rules, "10.0.0.1:80", Some("spiffe://td/ns/a/sa/b")).is_some());
    assert_eq!(denied(&rules, "10.0.0.1:80", None), None);
    assert_eq!(
        denied(&rules, "10.0.0.1:81", Some("spiffe://td/ns/a/sa/b")),
        None
    );
}

#[test]
fn what_is_only_tried_denies_nothing() {
    let own = rules(wire::rbac::Action::Deny);
    let tried = Rbac {
        shadow_rules: own.rules,
        ..Default::default()
    };
    assert_eq!(
        denied(&tried, "10.0.0.1:80", Some("spiffe://td/ns/a/sa/b")),
        None
    );
}
