//! What a proxy refuses, resource by resource, until it accepts something else under the same name; and which
//! objects of users are to blame. A proxy that refuses one resource of a response keeps the others of it, and says
//! which it meant.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::ObjectRef;
use envoy::suspects;

use super::Reply;
use crate::Resource;

/// A resource that a proxy refuses at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its type.
    pub type_url: String,
    /// Its name.
    pub name: Arc<str>,
    /// What the proxy complains about.
    pub message: Arc<str>,
    /// The objects that are to blame; more than one when that cannot be told apart.
    pub suspects: Arc<[ObjectRef]>,
}

/// What one stream refuses of one type.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    by_name: BTreeMap<Arc<str>, Known>,
}

#[derive(Debug)]
struct Known {
    refusal: Refusal,
    /// What the proxy has under that name.
    accepted: Option<Arc<Resource>>,
}

impl Refusals {
    /// The proxy refused `reply` with `message`; `before` is what it had been sent under a name before that.
    pub fn refuse(
        &mut self,
        reply: &Reply,
        message: &str,
        before: impl Fn(&str) -> Option<Arc<Resource>>,
    ) {
        let resources = reply.resources.iter();
        let named: Vec<_> = resources
            .filter(|resource| is_named(message, &resource.name))
            .collect();
        let message: Arc<str> = message.into();
        let concerned = match named.is_empty() {
            true => reply.resources.iter().collect(),
            false => {
                self.accept(reply);
                named
            }
        };
        for resource in concerned {
            let known = self.by_name.remove(&resource.name);
            let accepted = match known {
                Some(known) => known.accepted,
                None => before(&resource.name),
            };
            let suspects = suspects(&reply.type_url, resource, accepted.as_deref());
            let refusal = Refusal {
                type_url: reply.type_url.clone(),
                name: resource.name.clone(),
                message: message.clone(),
                suspects: suspects.into(),
            };
            let known = Known { refusal, accepted };
            self.by_name.insert(resource.name.clone(), known);
        }
    }

    /// The proxy accepted what `reply` says.
    pub fn accept(&mut self, reply: &Reply) {
        if self.by_name.is_empty() {
            return;
        }
        let sent = reply.resources.iter().map(|resource| &resource.name);
        for name in sent.chain(&reply.removed) {
            self.by_name.remove(name);
        }
    }

    /// The proxy accepted everything of the type.
    pub fn clear(&mut self) {
        self.by_name.clear();
    }

    /// The proxy no longer follows a name.
    pub fn forget(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Refusal> {
        self.by_name.values().map(|known| &known.refusal)
    }
}

/// Whether a message speaks of a resource: has its name, and not as a part of a longer one.
fn is_named(message: &str, name: &str) -> bool {
    let inside = |character: char| character.is_alphanumeric() || "_-|".contains(character);
    let mut found = message.match_indices(name);
    !name.is_empty()
        && found.any(|(start, _)| {
            let before = message[..start].chars().next_back();
            let mut after = message[start + name.len()..].chars();
            let next = after.next();
            let longer = next == Some('.') && after.next().is_some_and(inside);
            !before.is_some_and(|before| inside(before) || before == '.')
                && !next.is_some_and(inside)
                && !longer
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::ObjectRef;
    use proto::codec::type_url::LISTENER;

    use super::{Refusals, is_named};
    use crate::Resource;
    use crate::session::Reply;

    fn reply(names: &[&str], removed: &[&str]) -> Reply {
        let made = |name: &&str| {
            let origin = vec![Arc::new(ObjectRef {
                api_version: "networking.istio.io/v1".to_owned(),
                kind: "Gateway".to_owned(),
                namespace: Some("shop".to_owned()),
                name: format!("of-{name}"),
            })];
            Arc::new(Resource::new(LISTENER, *name, b"x", origin))
        };
        Reply {
            type_url: LISTENER.to_owned(),
            nonce: "1".to_owned(),
            version: "1".into(),
            resources: names.iter().map(made).collect(),
            removed: removed.iter().map(|name| (*name).into()).collect(),
        }
    }

    fn refused(refusals: &Refusals) -> Vec<String> {
        let refusals = refusals.iter();
        refusals
            .map(|refusal| format!("{} {}", refusal.name, refusal.suspects[0].name))
            .collect()
    }

    #[test]
    fn a_name_is_found_as_a_whole() {
        for (message, name, expected) in [
            (
                "Error adding/updating listener(s) 0.0.0.0_80: no",
                "0.0.0.0_80",
                true,
            ),
            (
                "Error adding/updating listener(s) 0.0.0.0_8080: no",
                "0.0.0.0_80",
                false,
            ),
            ("listener 10.0.0.0.0_80", "0.0.0.0_80", false),
            ("cluster outbound|80||a.b: no", "outbound|80||a.b", true),
            ("cluster outbound|80||a.b.c: no", "outbound|80||a.b", false),
            ("cluster outbound|80||a.b.", "outbound|80||a.b", true),
            ("anything", "", false),
            ("", "80", false),
        ] {
            assert_eq!(is_named(message, name), expected, "{message} {name}");
        }
    }

    #[test]
    fn whoever_is_named_is_refused_and_the_others_are_accepted() {
        let mut refusals = Refusals::default();
        refusals.refuse(&reply(&["a", "b"], &[]), "bad", |_| None);
        assert_eq!(refused(&refusals), ["a of-a", "b of-b"]);
        refusals.refuse(&reply(&["a", "b"], &[]), "listener b: bad", |_| None);
        assert_eq!(refused(&refusals), ["b of-b"]);
    }

    #[test]
    fn a_refusal_lasts_until_its_name_is_accepted_or_gone() {
        let mut refusals = Refusals::default();
        refusals.refuse(&reply(&["a", "b", "c"], &[]), "bad", |_| None);
        refusals.accept(&reply(&["other"], &[]));
        assert_eq!(refused(&refusals).len(), 3);
        refusals.accept(&reply(&["a"], &["b"]));
        assert_eq!(refused(&refusals), ["c of-c"]);
        refusals.forget("c");
        assert!(refused(&refusals).is_empty());
    }
}
