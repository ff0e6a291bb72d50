//! Terms of a rule, encoded: what is called (permissions) and who calls (principals) are built alike, and what
//! joins them has the same numbers in both.

use proto::envoy::config::rbac::v3::{Permission, Principal, permission, principal};
use proto::envoy::r#type::matcher::v3::MetadataMatcher;
use proto::pack::Put;
use proto::writer::Writer;

/// Field numbers of `Permission` and `Principal`, and of the sets that both have.
const ALL: u32 = 1;
const ONE: u32 = 2;
const ANYTHING: u32 = 3;
const METADATA: u32 = 7;
const NOT: u32 = 8;
const MEMBERS: u32 = 1;

/// One side of a rule, or a part of it.
pub(super) struct Term(Writer);

impl Term {
    /// A condition on what is called.
    pub(super) fn called(rule: permission::Rule) -> Self {
        Term::written(|into| Permission { rule: Some(rule) }.put(into))
    }

    /// A condition on who calls.
    pub(super) fn caller(identifier: principal::Identifier) -> Self {
        let identifier = Some(identifier);
        Term::written(|into| Principal { identifier }.put(into))
    }

    /// A condition on metadata: in the form that proxies of all ages know.
    pub(super) fn metadata(matcher: &MetadataMatcher) -> Self {
        Term::written(|into| {
            into.nested(METADATA, |into| matcher.put(into));
        })
    }

    /// All of these.
    pub(super) fn all(terms: &[Self]) -> Self {
        Term::set(ALL, terms)
    }

    /// One of these.
    pub(super) fn one_of(terms: &[Self]) -> Self {
        Term::set(ONE, terms)
    }

    /// All that this is not.
    pub(super) fn not(self) -> Self {
        Term::written(|into| {
            into.text(NOT, self.bytes());
        })
    }

    /// Everything.
    pub(super) fn anything() -> Self {
        Term::written(|into| {
            into.number(ANYTHING, 1);
        })
    }

    /// The encoded term.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    fn set(number: u32, terms: &[Self]) -> Self {
        Term::written(|into| {
            into.nested(number, |set| {
                for term in terms {
                    set.text(MEMBERS, term.bytes());
                }
            });
        })
    }

    fn written(write: impl FnOnce(&mut Writer)) -> Self {
        let mut own = Writer::with_capacity(96);
        write(&mut own);
        Term(own)
    }
}
