//! Terms of a rule: what is called (permissions) and who calls (principals) are built alike.

use proto::envoy::config::rbac::v3::{Permission, Principal, permission, principal};
use proto::envoy::r#type::matcher::v3::MetadataMatcher;

/// One side of a rule.
pub(super) trait Term: Sized {
    /// All of these.
    fn all(terms: Vec<Self>) -> Self;
    /// One of these.
    fn one_of(terms: Vec<Self>) -> Self;
    /// All that this is not.
    fn not(self) -> Self;
    /// Everything.
    fn anything() -> Self;
    /// A condition on metadata.
    fn metadata(matcher: MetadataMatcher) -> Self;
}

pub(super) fn permission(rule: permission::Rule) -> Permission {
    Permission { rule: Some(rule) }
}

pub(super) fn principal(identifier: principal::Identifier) -> Principal {
    Principal {
        identifier: Some(identifier),
    }
}

impl Term for Permission {
    fn all(rules: Vec<Self>) -> Self {
        permission(permission::Rule::AndRules(permission::Set { rules }))
    }

    fn one_of(rules: Vec<Self>) -> Self {
        permission(permission::Rule::OrRules(permission::Set { rules }))
    }

    fn not(self) -> Self {
        permission(permission::Rule::NotRule(Box::new(self)))
    }

    fn anything() -> Self {
        permission(permission::Rule::Any(true))
    }

    #[allow(deprecated, reason = "proxies of all ages know this form")]
    fn metadata(matcher: MetadataMatcher) -> Self {
        permission(permission::Rule::Metadata(matcher))
    }
}

impl Term for Principal {
    fn all(ids: Vec<Self>) -> Self {
        principal(principal::Identifier::AndIds(principal::Set { ids }))
    }

    fn one_of(ids: Vec<Self>) -> Self {
        principal(principal::Identifier::OrIds(principal::Set { ids }))
    }

    fn not(self) -> Self {
        principal(principal::Identifier::NotId(Box::new(self)))
    }

    fn anything() -> Self {
        principal(principal::Identifier::Any(true))
    }

    #[allow(deprecated, reason = "proxies of all ages know this form")]
    fn metadata(matcher: MetadataMatcher) -> Self {
        principal(principal::Identifier::Metadata(matcher))
    }
}
