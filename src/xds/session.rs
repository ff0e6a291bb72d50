//! The protocol of one stream, as a state machine without I/O: requests and new resources go in,
//! responses and rejections come out. [`delta`] and [`sotw`] are its two variants.
//!
//! Both answer the first request of every type, even with nothing, since a proxy waits for that answer;
//! never answer an ACK or a NACK by itself; and hold a push back while the previous one of the type is
//! unacknowledged, so that a slow proxy gets the newest state rather than every state.

pub mod delta;
mod names;
mod refusals;
pub mod sotw;

use std::sync::Arc;

use proto::codec::type_url;
use proto::google::protobuf::Any;
use proto::google::rpc::Status;

use crate::{Resource, Resources};

pub use refusals::Refusal;
use refusals::Refusals;

/// What happens to a stream.
#[derive(Clone, Debug)]
pub enum Event<Request> {
    /// The proxy sent something.
    Request(Request),
    /// The proxy is to have these from now on.
    Resources(Arc<Resources>),
}

/// What a stream does.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this.
    Send(Arc<Reply>),
    /// The proxy refused what it was sent and stays with what it had.
    Rejected(Rejection),
    /// A request about a response that is no longer the last one; ignored.
    Stale {
        /// Type of the request.
        type_url: String,
    },
}

/// A response, before it is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Type of the resources.
    pub type_url: String,
    /// By which the proxy acknowledges it.
    pub nonce: String,
    /// One version for everything of the type.
    pub version: Arc<str>,
    /// What is new, or, for the state of the world, all there is.
    pub resources: Vec<Arc<Resource>>,
    /// Names of what is gone; empty for the state of the world.
    pub removed: Vec<Arc<str>>,
}

impl Reply {
    /// Nonce of responses that belong to no session; the numbers of [`Nonces`] are others.
    pub(crate) const ONCE: &str = "once";

    /// A response outside of every session: resources of a type that nobody watches.
    pub(crate) fn once(type_url: &str, resources: Vec<(String, Any)>) -> Self {
        let resources = resources.into_iter().map(|(name, resource)| {
            let made = Resource::new(&resource.type_url, name, &resource.value, Vec::new());
            Arc::new(made)
        });
        Reply {
            type_url: type_url.to_owned(),
            nonce: Self::ONCE.to_owned(),
            version: "".into(),
            resources: resources.collect(),
            removed: Vec::new(),
        }
    }
}

/// A NACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Type of the refused response.
    pub type_url: String,
    /// Nonce of the refused response.
    pub nonce: String,
    /// What the proxy complains about.
    pub message: String,
    /// Names that changed in the refused response, the suspects.
    pub names: Vec<String>,
}

/// Make before break: clusters and their endpoints exist before listeners and routes name them.
/// Types that are not listed follow, in alphabetical order.
const PUSH_ORDER: [&str; 6] = [
    type_url::CLUSTER,
    type_url::ENDPOINT,
    type_url::LISTENER,
    type_url::ROUTE,
    type_url::VIRTUAL_HOST,
    type_url::SECRET,
];

/// Types whose first request without names asks for those names only, that is for nothing. For all others
/// it asks for everything.
const NAMED_ONLY: [&str; 5] = [
    type_url::ENDPOINT,
    type_url::ROUTE,
    type_url::SECRET,
    type_url::EXTENSION,
    type_url::VIRTUAL_HOST,
];

fn asks_for_all_without_names(type_url: &str) -> bool {
    !NAMED_ONLY.contains(&type_url)
}

fn push_order<'a>(types: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut types: Vec<String> = types.cloned().collect();
    let rank = |of: &str| {
        let position = PUSH_ORDER.iter().position(|type_url| *type_url == of);
        position.unwrap_or(PUSH_ORDER.len())
    };
    types.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
    types
}

/// Nonces of one stream; unlike those of any earlier stream only by chance, which the protocol allows for.
#[derive(Debug, Default)]
struct Nonces(u64);

impl Nonces {
    fn next(&mut self) -> String {
        self.0 += 1;
        self.0.to_string()
    }
}

fn message(status: &Status) -> String {
    status.message.clone()
}

#[cfg(test)]
mod tests;
