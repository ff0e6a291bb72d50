//! State-of-the-world xDS: a response carries everything of its type that is followed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envoy::version_of;
use proto::codec::type_url;
use proto::envoy::service::discovery::v3::DiscoveryRequest;

use super::{
    Event, Nonces, Output, Refusal, Refusals, Rejection, Reply, asks_for_all_without_names,
    message, push_order,
};
use crate::{Resource, Resources};

/// Subscribes to everything, explicitly.
const ALL: &str = "*";

/// One state-of-the-world stream.
#[derive(Debug)]
pub struct Session {
    resources: Arc<Resources>,
    nonces: Nonces,
    watches: BTreeMap<String, Watch>,
}

/// What one stream holds of one type.
#[derive(Debug)]
struct Watch {
    follows: Follows,
    /// Version and nonce of the last response; none after everything was unsubscribed.
    last: Option<(Arc<str>, String)>,
    acknowledged: bool,
    /// The response that is not answered yet.
    sent: Option<Arc<Reply>>,
    /// The response that was accepted last.
    accepted: Option<Arc<Reply>>,
    /// What it refuses, by name.
    refusals: Refusals,
    /// What this type's resources belong to was sent again: Envoy warms that until these come after it,
    /// changed or not.
    warming: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Follows {
    All,
    Names(BTreeSet<String>),
}

impl Session {
    /// A stream of a proxy that is to have `resources`.
    pub fn new(resources: Arc<Resources>) -> Self {
        Session {
            resources,
            nonces: Nonces::default(),
            watches: BTreeMap::new(),
        }
    }

    /// What it follows, by type; `*` for everything.
    pub fn watched(&self) -> Vec<(String, Vec<String>)> {
        let watches = self.watches.iter();
        let names = |watch: &Watch| match &watch.follows {
            Follows::All => vec![ALL.to_owned()],
            Follows::Names(names) => names.iter().cloned().collect(),
        };
        watches
            .map(|(type_url, watch)| (type_url.clone(), names(watch)))
            .collect()
    }

    /// What the proxy refuses at this moment.
    pub fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        self.watches
            .values()
            .flat_map(|watch| watch.refusals.iter())
    }

    /// Takes in an event and says what to send because of it.
    pub fn on(&mut self, event: Event<DiscoveryRequest>) -> Vec<Output> {
        match event {
            Event::Request(request) => self.request(request),
            Event::Resources(resources) => {
                self.resources = resources;
                let types = push_order(self.watches.keys());
                let pushed = types.iter().filter_map(|type_url| self.push(type_url));
                pushed.map(Output::Send).collect()
            }
        }
    }

    fn request(&mut self, request: DiscoveryRequest) -> Vec<Output> {
        let type_url = request.type_url.clone();
        let wanted = follows(&request);
        let Some(watch) = self.watches.get_mut(&type_url) else {
            // The first request of the type; a nonce in it is of an earlier stream.
            self.watches.insert(
                type_url.clone(),
                Watch {
                    follows: wanted,
                    last: None,
                    acknowledged: true,
                    sent: None,
                    accepted: None,
                    refusals: Refusals::default(),
                    warming: false,
                },
            );
            return vec![Output::Send(self.respond(&type_url))];
        };
        let nonce = &request.response_nonce;
        if watch.last.as_ref().is_some_and(|(_, sent)| sent != nonce) {
            return vec![Output::Stale { type_url }];
        }
        watch.acknowledged = true;
        let mut output = Vec::new();
        watch.answered(request.error_detail.as_ref().map(message));
        if let Some(error) = &request.error_detail {
            let resources = watch.followed(&self.resources, &type_url);
            output.push(Output::Rejected(Rejection {
                type_url: type_url.clone(),
                nonce: nonce.clone(),
                message: message(error),
                names: resources
                    .map(|resource| resource.name.to_string())
                    .collect(),
            }));
        }
        let changed = watch.follows != wanted;
        watch.follows = wanted;
        if changed && watch.follows == Follows::Names(BTreeSet::new()) {
            // Unsubscribed: nothing is sent until it asks again, whatever nonce it then names.
            watch.last = None;
            watch.accepted = None;
            watch.refusals.clear();
        } else if changed {
            output.push(Output::Send(self.respond(&type_url)));
        } else {
            output.extend(self.push(&type_url).map(Output::Send));
        }
        let warmed = warmed_by(&type_url).and_then(|type_url| self.push(type_url));
        output.extend(warmed.map(Output::Send));
        output
    }

    /// The state of a type, unless it still waits for an acknowledgement or is what was sent last.
    fn push(&mut self, type_url: &str) -> Option<Arc<Reply>> {
        let watch = self.watches.get(type_url)?;
        let (sent, _) = watch.last.as_ref()?;
        let version = watch.version(&self.resources, type_url);
        let differs = watch.warming || *sent != version;
        (watch.acknowledged && differs).then(|| self.respond(type_url))
    }

    fn respond(&mut self, type_url: &str) -> Arc<Reply> {
        let nonce = self.nonces.next();
        let watch = self
            .watches
            .get_mut(type_url)
            .expect("responses are made for watched types only");
        let version = watch.version(&self.resources, type_url);
        let resources = watch.followed(&self.resources, type_url);
        let reply = Arc::new(Reply {
            type_url: type_url.to_owned(),
            nonce: nonce.clone(),
            version: version.clone(),
            resources: resources.cloned().collect(),
            removed: Vec::new(),
        });
        watch.last = Some((version, nonce));
        watch.sent = Some(reply.clone());
        watch.acknowledged = false;
        watch.warming = false;
        if let Some(warmed) = warmed_by(type_url).and_then(|warmed| self.watches.get_mut(warmed)) {
            warmed.warming = true;
        }
        reply
    }
}

impl Watch {
    /// The last response was accepted, or refused with words.
    fn answered(&mut self, refused: Option<String>) {
        // A response is answered once; later requests of its nonce change what is followed.
        let Some(sent) = self.sent.take() else {
            return;
        };
        let Some(message) = refused else {
            self.refusals.clear();
            self.accepted = Some(sent);
            return;
        };
        let accepted = self.accepted.as_deref();
        let before = |name: &str| {
            // In the order of names, as tables are.
            let resources = &accepted?.resources;
            let place = resources.binary_search_by(|resource| (*resource.name).cmp(name));
            Some(resources[place.ok()?].clone())
        };
        // It carries everything; what is as it was accepted is not meant.
        let changed = sent.resources.iter().filter(|resource| {
            before(&resource.name).is_none_or(|before| before.version != resource.version)
        });
        let changed = Reply {
            resources: changed.cloned().collect(),
            ..Reply::clone(&sent)
        };
        self.refusals.clear();
        self.refusals.refuse(&changed, &message, before);
    }

    /// One version for all that is followed.
    fn version(&self, resources: &Resources, type_url: &str) -> Arc<str> {
        match &self.follows {
            Follows::All => resources.table(type_url).version().clone(),
            Follows::Names(_) => version_of(self.followed(resources, type_url)).into(),
        }
    }

    fn followed<'a>(
        &'a self,
        resources: &'a Resources,
        type_url: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Resource>> {
        let follows = move |name: &str| match &self.follows {
            Follows::All => true,
            Follows::Names(names) => names.contains(name),
        };
        let of_type = resources.of_type(type_url);
        of_type.filter(move |resource| follows(&resource.name))
    }
}

/// The type without which Envoy does not put a sent resource of another type to use.
fn warmed_by(type_url: &str) -> Option<&'static str> {
    match type_url {
        type_url::CLUSTER => Some(type_url::ENDPOINT),
        type_url::LISTENER => Some(type_url::ROUTE),
        _ => None,
    }
}

fn follows(request: &DiscoveryRequest) -> Follows {
    let names: BTreeSet<String> = request.resource_names.iter().cloned().collect();
    let all =
        names.contains(ALL) || (names.is_empty() && asks_for_all_without_names(&request.type_url));
    if all {
        Follows::All
    } else {
        Follows::Names(names)
    }
}

#[cfg(test)]
mod tests;
