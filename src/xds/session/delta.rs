//! Incremental xDS: a response carries what differs from what the proxy is known to have.
//!
//! What a proxy has is kept as the table that it was told last, shared with everyone who was told the same, and
//! the few names that were told apart from it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use proto::codec::{any, type_url};
use proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as Wire,
};

use super::{
    Event, Nonces, Output, Rejection, asks_for_all_without_names, control_plane, message,
    push_order,
};
use crate::resources::{Table, parse_version};
use crate::{Resource, Resources};

/// Subscribes to everything, explicitly.
const ALL: &str = "*";
/// What listeners and routes refer to: taken away only after nothing refers to it any more.
const REFERRED: [&str; 2] = [type_url::CLUSTER, type_url::ENDPOINT];
/// What refers to clusters.
const REFERRING: [&str; 2] = [type_url::LISTENER, type_url::ROUTE];

/// One incremental stream.
#[derive(Debug)]
pub struct Session {
    control_plane: String,
    resources: Arc<Resources>,
    nonces: Nonces,
    watches: BTreeMap<String, Watch>,
    /// Clusters that were sent: Envoy warms each until endpoints arrive after it, changed or not, and does not
    /// ask again for names that it asked for already.
    warming: BTreeSet<Arc<str>>,
}

/// What one stream holds of one type.
#[derive(Debug, Default)]
struct Watch {
    /// Whether it follows everything.
    all: bool,
    /// Names that it follows, whether they exist or not.
    names: BTreeSet<Arc<str>>,
    /// The table that it was told as a whole, as far as it follows it.
    base: Table,
    /// What it has apart from that.
    apart: BTreeMap<Arc<str>, Has>,
    /// Unacknowledged responses, oldest first: nonce and the names in it.
    in_flight: VecDeque<(String, Vec<Arc<str>>)>,
    /// Whether the last answer about a response was a refusal.
    refused: bool,
}

/// What a proxy has under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    Nothing,
    Version(u128),
    /// Something that no version of ours describes.
    Other,
}

impl Session {
    /// A stream of a proxy that is to have `resources`. `control_plane` names this process to the proxy.
    pub fn new(control_plane: impl Into<String>, resources: Arc<Resources>) -> Self {
        Session {
            control_plane: control_plane.into(),
            resources,
            nonces: Nonces::default(),
            watches: BTreeMap::new(),
            warming: BTreeSet::new(),
        }
    }

    /// Takes in an event and says what to send because of it.
    pub fn on(
        &mut self,
        event: Event<DeltaDiscoveryRequest>,
    ) -> Vec<Output<DeltaDiscoveryResponse>> {
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

    fn request(&mut self, request: DeltaDiscoveryRequest) -> Vec<Output<DeltaDiscoveryResponse>> {
        let DeltaDiscoveryRequest {
            type_url,
            response_nonce,
            error_detail,
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            initial_resource_versions,
            ..
        } = request;
        let mut output = Vec::new();
        let first = !self.watches.contains_key(&type_url);
        let watch = self.watches.entry(type_url.clone()).or_default();
        if first {
            watch.all = subscribe.is_empty() && asks_for_all_without_names(&type_url);
            let brought = initial_resource_versions.into_iter();
            let brought = brought.map(|(name, version)| {
                let version = parse_version(&version).map_or(Has::Other, Has::Version);
                (name.into(), version)
            });
            watch.apart = brought.collect();
        } else if !response_nonce.is_empty() {
            match (watch.acknowledge(&response_nonce), error_detail) {
                (None, _) => output.push(Output::Stale {
                    type_url: type_url.clone(),
                }),
                (Some(names), Some(error)) => {
                    watch.refused = true;
                    output.push(Output::Rejected(Rejection {
                        type_url: type_url.clone(),
                        nonce: response_nonce,
                        message: message(&error),
                        names: names.iter().map(|name| name.to_string()).collect(),
                    }));
                }
                (Some(_), None) => watch.refused = false,
            }
        }

        // Subscriptions count even in a request about an old response.
        let followed_all = watch.all;
        let concerned = watch.subscribe(&subscribe, &unsubscribe);
        let now_all = watch.all && !followed_all;
        if first || now_all {
            // The proxy waits for this answer, empty or not.
            let mut difference = self.difference(&type_url);
            if first {
                difference.removed.extend(self.missing(&type_url));
            }
            output.push(Output::Send(self.respond(&type_url, difference)));
            self.settle(&type_url, &[]);
        }
        if !first && !concerned.is_empty() {
            let difference = state_of(&concerned, self.resources.table(&type_url));
            output.push(Output::Send(self.respond(&type_url, difference)));
        }
        if !first {
            // What changed while this type waited for its acknowledgement.
            output.extend(self.push(&type_url).map(Output::Send));
            if REFERRING.contains(&type_url.as_str()) {
                let released = REFERRED.iter().filter_map(|type_url| self.push(type_url));
                output.extend(released.map(Output::Send));
            }
        }
        output
    }

    /// What changed for a type, unless it still waits for an acknowledgement or nothing did.
    fn push(&mut self, type_url: &str) -> Option<DeltaDiscoveryResponse> {
        let watch = self.watches.get(type_url)?;
        if !watch.in_flight.is_empty() {
            return None;
        }
        let mut difference = self.difference(type_url);
        let mut held = Vec::new();
        if !difference.removed.is_empty() && REFERRED.contains(&type_url) && self.is_referring() {
            held = std::mem::take(&mut difference.removed);
        }
        let response = (!difference.is_empty()).then(|| self.respond(type_url, difference));
        self.settle(type_url, &held);
        response
    }

    /// Whether listeners or routes of before may still be in use.
    fn is_referring(&self) -> bool {
        REFERRING.iter().any(|type_url| {
            let watch = self.watches.get(*type_url);
            watch.is_some_and(|watch| {
                watch.refused
                    || !watch.in_flight.is_empty()
                    || !self.difference(type_url).is_empty()
            })
        })
    }

    /// Everything followed whose version differs from what the proxy has, and what it has and is gone.
    fn difference(&self, type_url: &str) -> Difference {
        let mut difference = Difference::default();
        let Some(watch) = self.watches.get(type_url) else {
            return difference;
        };
        let table = self.resources.table(type_url);
        let mut suspects: BTreeSet<&Arc<str>> = watch.base.differing(table).collect();
        suspects.extend(watch.apart.keys());
        if type_url == type_url::ENDPOINT {
            suspects.extend(&self.warming);
        }
        for name in suspects {
            let (follows, has) = (watch.follows(name), watch.has(name));
            match table.get(name).filter(|_| follows) {
                Some(resource) => {
                    let warms = type_url == type_url::ENDPOINT && self.warming.contains(name);
                    if warms || has != Has::Version(resource.version) {
                        difference.changed.push(resource.clone());
                    }
                }
                None if has != Has::Nothing => difference.removed.push(name.clone()),
                None => {}
            }
        }
        difference
    }

    /// Names that are asked for, do not exist and were not there before either.
    fn missing(&self, type_url: &str) -> Vec<Arc<str>> {
        let Some(watch) = self.watches.get(type_url) else {
            return Vec::new();
        };
        let table = self.resources.table(type_url);
        let missing =
            |name: &&Arc<str>| table.get(name).is_none() && watch.has(name) == Has::Nothing;
        watch.names.iter().filter(missing).cloned().collect()
    }

    /// The proxy was told everything but the removal of `held`.
    fn settle(&mut self, type_url: &str, held: &[Arc<str>]) {
        let table = self.resources.table(type_url);
        if let Some(watch) = self.watches.get_mut(type_url) {
            let held = held.iter().map(|name| (name.clone(), watch.has(name)));
            watch.apart = held.collect();
            watch.base = table.clone();
        }
    }

    /// A response of `type_url` that says `difference`.
    fn respond(&mut self, type_url: &str, difference: Difference) -> DeltaDiscoveryResponse {
        let Difference { changed, removed } = difference;
        let watch = self.watches.entry(type_url.to_owned()).or_default();
        let states = changed.iter().map(|resource| {
            let version = Has::Version(resource.version);
            (resource.name.clone(), version)
        });
        watch.apart.extend(states);
        let nothing = removed.iter().map(|name| (name.clone(), Has::Nothing));
        watch.apart.extend(nothing);
        let nonce = self.nonces.next();
        let names = changed.iter().map(|resource| resource.name.clone());
        let names = names.chain(removed.iter().cloned()).collect();
        watch.in_flight.push_back((nonce.clone(), names));
        match type_url {
            type_url::CLUSTER => {
                let endpoints = self.resources.table(type_url::ENDPOINT);
                let names = changed.iter().map(|cluster| cluster.name.clone());
                self.warming
                    .extend(names.filter(|name| endpoints.get(name).is_some()));
                for name in &removed {
                    self.warming.remove(name);
                }
            }
            type_url::ENDPOINT => {
                for endpoints in &changed {
                    self.warming.remove(&endpoints.name);
                }
            }
            _ => {}
        }
        DeltaDiscoveryResponse {
            system_version_info: self.resources.table(type_url).version().to_owned(),
            type_url: type_url.to_owned(),
            nonce,
            control_plane: control_plane(&self.control_plane),
            resources: changed
                .into_iter()
                .map(|resource| Wire {
                    name: resource.name.to_string(),
                    version: resource.version_text(),
                    resource: Some(any(type_url, resource.bytes.clone())),
                    ..Default::default()
                })
                .collect(),
            removed_resources: removed.iter().map(|name| name.to_string()).collect(),
            ..Default::default()
        }
    }
}

/// What a proxy lacks and what it has too much.
#[derive(Default)]
struct Difference {
    changed: Vec<Arc<Resource>>,
    removed: Vec<Arc<str>>,
}

impl Difference {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }
}

impl Watch {
    /// The names of the response with this nonce, which is no longer in flight, nor are earlier ones.
    fn acknowledge(&mut self, nonce: &str) -> Option<Vec<Arc<str>>> {
        let position = self.in_flight.iter().position(|(sent, _)| sent == nonce)?;
        self.in_flight
            .drain(..=position)
            .next_back()
            .map(|(_, names)| names)
    }

    /// Changes what is followed and returns the names that must be answered for.
    fn subscribe(&mut self, subscribe: &[String], unsubscribe: &[String]) -> BTreeSet<Arc<str>> {
        let mut concerned = BTreeSet::new();
        for name in unsubscribe {
            if name == ALL {
                self.all = false;
                let names = &self.names;
                self.apart.retain(|name, _| names.contains(name));
            } else if self.names.remove(name.as_str()) && self.all {
                // Still covered by the wildcard: the proxy has to be told its state.
                concerned.insert(name.as_str().into());
            } else if !self.all {
                self.apart.remove(name.as_str());
            }
        }
        for name in subscribe {
            if name == ALL {
                self.follow_all();
            } else {
                // Asked for again means that the proxy may have dropped it.
                let name: Arc<str> = self.known(name).unwrap_or_else(|| name.as_str().into());
                self.names.insert(name.clone());
                concerned.insert(name);
            }
        }
        concerned
    }

    /// The name as the table spells it, so that its text is shared.
    fn known(&self, name: &str) -> Option<Arc<str>> {
        self.base.get(name).map(|resource| resource.name.clone())
    }

    /// From names to everything: of the table it has only what it followed.
    fn follow_all(&mut self) {
        if self.all {
            return;
        }
        for name in &self.names {
            if let Some(resource) = self.base.get(name) {
                let version = Has::Version(resource.version);
                self.apart.entry(name.clone()).or_insert(version);
            }
        }
        self.base = Table::default();
        self.all = true;
    }

    fn follows(&self, name: &str) -> bool {
        self.all || self.names.contains(name)
    }

    /// What the proxy has under a name.
    fn has(&self, name: &str) -> Has {
        match self.apart.get(name) {
            Some(apart) => *apart,
            None if self.follows(name) => match self.base.get(name) {
                Some(resource) => Has::Version(resource.version),
                None => Has::Nothing,
            },
            None => Has::Nothing,
        }
    }
}

/// The state of each of `names`: its resource, or that there is none.
fn state_of(names: &BTreeSet<Arc<str>>, table: &Table) -> Difference {
    let mut state = Difference::default();
    for name in names {
        match table.get(name) {
            Some(resource) => state.changed.push(resource.clone()),
            None => state.removed.push(name.clone()),
        }
    }
    state
}

#[cfg(test)]
mod tests;
