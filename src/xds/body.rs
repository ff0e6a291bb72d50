//! Responses, encoded: large ones once for all streams that are sent the same, for as long as one of them
//! is on its way.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use proto::ads::Encoded;
use proto::wire;

use crate::Resource;
use crate::session::Reply;

/// From so many resources on it is worth looking whether somebody else is sent the same.
const MANY: usize = 16;

/// The two kinds of responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Variant {
    Delta,
    StateOfTheWorld,
}

/// Bodies that are on their way. All clones know the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bodies {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    by_content: HashMap<u64, Vec<Weak<Body>>>,
    /// Look-ups until those that nobody sends any more are forgotten.
    until_tidy: usize,
}

/// An encoded body, with all that it was made from.
#[derive(Debug)]
struct Body {
    bytes: Bytes,
    variant: Variant,
    control_plane: String,
    reply: Arc<Reply>,
}

/// Keeps its body known while the transport has it.
struct OnItsWay(Arc<Body>);

impl AsRef<[u8]> for OnItsWay {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Bodies {
    /// The encoded response.
    pub fn encoded(&self, variant: Variant, control_plane: &str, reply: &Arc<Reply>) -> Encoded {
        let own = wire::nonce(&reply.nonce);
        if reply.resources.len() < MANY {
            let body = encoded(variant, control_plane, reply);
            return Encoded { body, own };
        }
        let body = self.shared(variant, control_plane, reply);
        Encoded {
            body: Bytes::from_owner(OnItsWay(body)),
            own,
        }
    }

    fn shared(&self, variant: Variant, control_plane: &str, reply: &Arc<Reply>) -> Arc<Body> {
        // Held while encoding: those who are to be sent the same wait for it rather than do it again.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.tidy();
        let alike = known.by_content.entry(fingerprint(reply)).or_default();
        let same = alike.iter().filter_map(Weak::upgrade).find(|body| {
            body.variant == variant
                && body.control_plane == control_plane
                && body.reply.says_the_same(reply)
        });
        same.unwrap_or_else(|| {
            let body = Arc::new(Body {
                bytes: encoded(variant, control_plane, reply),
                variant,
                control_plane: control_plane.to_owned(),
                reply: reply.clone(),
            });
            alike.push(Arc::downgrade(&body));
            body
        })
    }
}

impl Known {
    fn tidy(&mut self) {
        if self.until_tidy > 0 {
            self.until_tidy -= 1;
            return;
        }
        self.by_content.retain(|_, alike| {
            alike.retain(|body| body.strong_count() > 0);
            !alike.is_empty()
        });
        self.until_tidy = 16 + self.by_content.len();
    }
}

impl Reply {
    /// Whether both differ in their nonces only.
    fn says_the_same(&self, other: &Self) -> bool {
        let same = |(a, b): (&Arc<Resource>, &Arc<Resource>)| Arc::ptr_eq(a, b);
        self.type_url == other.type_url
            && self.version == other.version
            && self.resources.len() == other.resources.len()
            && self.resources.iter().zip(&other.resources).all(same)
            && self.removed == other.removed
    }
}

fn fingerprint(reply: &Reply) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&reply.type_url, &reply.version, reply.resources.len()).hash(&mut hasher);
    hasher.finish()
}

fn encoded(variant: Variant, control_plane: &str, reply: &Reply) -> Bytes {
    let Reply {
        type_url,
        version,
        resources,
        removed,
        ..
    } = reply;
    let entries = resources.iter().map(|resource| resource.entry());
    match variant {
        Variant::Delta => {
            let removed = removed.iter().map(|name| &**name);
            wire::delta_body(type_url, version, control_plane, entries, removed)
        }
        Variant::StateOfTheWorld => wire::whole_body(type_url, version, control_plane, entries),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proto::codec::type_url::CLUSTER;

    use super::{Bodies, Variant};
    use crate::Resource;
    use crate::session::Reply;

    fn reply(resources: &[Arc<Resource>], nonce: &str) -> Arc<Reply> {
        Arc::new(Reply {
            type_url: CLUSTER.to_owned(),
            nonce: nonce.to_owned(),
            version: "1".into(),
            resources: resources.to_vec(),
            removed: Vec::new(),
        })
    }

    #[test]
    fn what_is_the_same_is_encoded_once_while_it_is_on_its_way() {
        let made = |n: usize| Arc::new(Resource::new(CLUSTER, n.to_string(), b"x", Vec::new()));
        let resources: Vec<Arc<Resource>> = (0..100).map(made).collect();
        let bodies = Bodies::default();
        let (first, second) = (reply(&resources, "1"), reply(&resources, "2"));
        let one = bodies.encoded(Variant::Delta, "me", &first);
        let other = bodies.encoded(Variant::Delta, "me", &second);
        assert_eq!(one.body.as_ptr(), other.body.as_ptr());
        assert_ne!(one.own, other.own);
        let whole = bodies.encoded(Variant::StateOfTheWorld, "me", &second);
        assert_ne!(one.body, whole.body);
        let fewer = bodies.encoded(Variant::Delta, "me", &reply(&resources[1..], "3"));
        assert_ne!(one.body, fewer.body);
        drop((one, other, whole, fewer));
        assert!(
            bodies
                .known
                .lock()
                .expect("whole")
                .by_content
                .values()
                .flatten()
                .all(|body| body.strong_count() == 0)
        );
    }
}
