//! Rules as filters have them, encoded as they are made: there may be hundreds, and each is a tree.

use proto::codec::any;
use proto::envoy::config::rbac::v3::rbac::Action;
use proto::envoy::extensions::filters::{http, network};
use proto::google::protobuf::Any;
use proto::pack::Pack;
use proto::writer::Writer;

use super::Layer;
use super::term::Term;

/// Field numbers of the filters' settings: those about connections have more.
const RULES: u32 = 1;
const SHADOW: u32 = 2;
const SHADOW_PREFIX: u32 = 3;
const STATISTICS: u32 = 3;
const SHADOW_PREFIX_OF_CONNECTIONS: u32 = 5;
/// Field numbers of `RBAC`, an entry of a map, and `Policy`.
const ACTION: u32 = 1;
const POLICIES: u32 = 2;
const KEY: u32 = 1;
const VALUE: u32 = 2;
const PERMISSIONS: u32 = 1;
const PRINCIPALS: u32 = 2;

/// Prefix of the statistics of filters about connections.
pub(in crate::filter) const CONNECTIONS: &str = "tcp.";

/// One rule: some permission and some principal hold.
pub(in crate::filter) struct Policy {
    pub(super) permissions: Vec<Term>,
    pub(super) principals: Vec<Term>,
}

impl Policy {
    /// A rule that holds of nothing.
    pub(super) fn never() -> Self {
        Policy {
            permissions: vec![Term::anything().not()],
            principals: vec![Term::anything().not()],
        }
    }

    fn put(&self, into: &mut Writer) {
        for term in &self.permissions {
            into.text(PERMISSIONS, term.bytes());
        }
        for term in &self.principals {
            into.text(PRINCIPALS, term.bytes());
        }
    }
}

/// Rules with one action, by name.
pub(in crate::filter) struct Rules {
    action: Action,
    policies: Vec<(String, Policy)>,
}

impl Rules {
    pub(in crate::filter) fn new(action: Action) -> Self {
        Rules {
            action,
            policies: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, name: String, policy: Policy) {
        self.policies.push((name, policy));
    }

    pub(in crate::filter) fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The same rules, each under its name with an end.
    pub(in crate::filter) fn ending_in(mut self, end: &str) -> Self {
        for (name, _) in &mut self.policies {
            name.push_str(end);
        }
        self
    }

    fn put(&self, into: &mut Writer) {
        if self.action as u64 != 0 {
            into.number(ACTION, self.action as u64);
        }
        for (name, policy) in &self.policies {
            into.block(POLICIES, |entry| {
                entry.text(KEY, name);
                entry.block(VALUE, |value| policy.put(value));
            });
        }
    }
}

/// What a filter of rules does.
#[derive(Default)]
pub(in crate::filter) struct Enforced {
    pub(in crate::filter) rules: Option<Rules>,
    /// Those that only tell what they would do.
    pub(in crate::filter) shadow: Option<Rules>,
    /// Prefix of what these tell.
    pub(in crate::filter) shadow_prefix: &'static str,
}

impl Enforced {
    /// Settings of the filter of a layer.
    pub(in crate::filter) fn pack(&self, layer: Layer) -> Any {
        let mut own = Writer::with_capacity(1024);
        if let Some(rules) = &self.rules {
            own.block(RULES, |into| rules.put(into));
        }
        if let Some(rules) = &self.shadow {
            own.block(SHADOW, |into| rules.put(into));
        }
        let (type_url, prefix) = match layer {
            Layer::Requests => (http::rbac::v3::Rbac::type_url(), SHADOW_PREFIX),
            Layer::Connections => {
                own.text(STATISTICS, CONNECTIONS);
                let number = SHADOW_PREFIX_OF_CONNECTIONS;
                (network::rbac::v3::Rbac::type_url(), number)
            }
        };
        if !self.shadow_prefix.is_empty() {
            own.text(prefix, self.shadow_prefix);
        }
        any(&type_url, own.finish())
    }
}
