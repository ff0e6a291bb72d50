//! Incremental xDS: a response carries what differs from what the proxy is known to have.
//!
//! What a proxy has is kept as the table that it was told last, shared with everyone who was told the same, and
//! the few names that were told apart from it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use envoy::parse_version;
use proto::codec::type_url;
use proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;

use super::names::{Added, Names};
use super::{
    Event, Nonces, Output, Refusal, Refusals, Rejection, Reply, asks_for_all_without_names,
    message, push_order,
};
use crate::{Resource, Resources, Table};

/// Subscribes to everything, explicitly.
const ALL: &str = "*";
/// What listeners and routes refer to: taken away only after nothing refers to it any more.
const REFERRED: [&str; 2] = [type_url::CLUSTER, type_url::ENDPOINT];
/// What refers to clusters.
const REFERRING: [&str; 3] = [type_url::LISTENER, type_url::ROUTE, type_url::VIRTUAL_HOST];

/// One incremental stream.
#[derive(Debug)]
pub struct Session {
    resources: Arc<Resources>,
    nonces: Nonces,
    watches: BTreeMap<String, Watch>,
    /// Clusters that were sent: Envoy warms each until endpoints arrive after it, changed or not, and does not
    /// ask again for names that it asked for already.
    warming: BTreeSet<Arc<str>>,
    /// Whether it came back with what it had from another stream.
    came_back: bool,
}

/// What one stream holds of one type.
#[derive(Debug, Default)]
struct Watch {
    /// Whether it follows everything.
    all: bool,
    /// Names that it follows, whether they exist or not.
    names: Names,
    /// The table that it was told as a whole, as far as it follows it.
    base: Table,
    /// What it has apart from that.
    apart: BTreeMap<Arc<str>, Has>,
    /// Unacknowledged responses, oldest first.
    in_flight: VecDeque<Sent>,
    /// Whether the last answer about a response was a refusal.
    refused: bool,
    /// What it refuses, by name.
    refusals: Refusals,
}

/// A response on its way.
#[derive(Debug)]
struct Sent {
    reply: Arc<Reply>,
    /// The route configurations that it replaces: only of these it matters for blame what changed in them.
    replaced: Vec<Arc<Resource>>,
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
    /// A stream of a proxy that is to have `resources`.
    pub fn new(resources: Arc<Resources>) -> Self {
        Session {
            resources,
            nonces: Nonces::default(),
            watches: BTreeMap::new(),
            warming: BTreeSet::new(),
            came_back: false,
        }
    }

    /// Takes in an event and says what to send because of it.
    pub fn on(&mut self, event: Event<DeltaDiscoveryRequest>) -> Vec<Output> {
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

    /// What it follows, by type; `*` for everything.
    pub fn watched(&self) -> Vec<(String, Vec<String>)> {
        let watches = self.watches.iter();
        let names = |watch: &Watch| {
            let all = watch.all.then(|| ALL.to_owned());
            let names = watch.names.iter().map(|name| name.to_string());
            all.into_iter().chain(names).collect()
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

    fn request(&mut self, request: DeltaDiscoveryRequest) -> Vec<Output> {
        let DeltaDiscoveryRequest {
            type_url,
            response_nonce,
            error_detail,
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            initial_resource_versions: brought,
            ..
        } = request;
        let mut output = Vec::new();
        let first = !self.watches.contains_key(&type_url);
        let watch = self.watches.entry(type_url.clone()).or_default();
        let table = self.resources.table(&type_url);
        if first {
            self.came_back |= !brought.is_empty();
            // Virtual hosts are followed by the name of their route configuration, and not asked for.
            watch.all = type_url == type_url::VIRTUAL_HOST
                || subscribe.is_empty() && asks_for_all_without_names(&type_url);
        } else if !response_nonce.is_empty() {
            match (watch.acknowledge(&response_nonce), error_detail) {
                (None, _) => output.push(Output::Stale {
                    type_url: type_url.clone(),
                }),
                (Some(Sent { reply, replaced }), Some(error)) => {
                    watch.refused = true;
                    let message = message(&error);
                    watch.refusals.refuse(&reply, &message, |name| {
                        let mut replaced = replaced.iter();
                        replaced.find(|resource| *resource.name == *name).cloned()
                    });
                    let changed = reply.resources.iter().map(|resource| &resource.name);
                    let names = changed.chain(&reply.removed);
                    output.push(Output::Rejected(Rejection {
                        type_url: type_url.clone(),
                        nonce: response_nonce,
                        message,
                        names: names.map(|name| name.to_string()).collect(),
                    }));
                }
                (Some(Sent { reply, .. }), None) => {
                    watch.refused = false;
                    watch.refusals.accept(&reply);
                }
            }
        }

        // Subscriptions count even in a request about an old response.
        let followed_all = watch.all;
        if first && !unsubscribe.is_empty() {
            watch.apart = versions_of(&brought);
        }
        let concerned = watch.subscribe(&subscribe, &unsubscribe, table);
        let now_all = watch.all && !followed_all;
        if first && unsubscribe.is_empty() {
            watch.bring(&brought, table);
        }
        if type_url == type_url::ROUTE {
            self.ask_again_for_hosts(&concerned, &brought);
        }
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
        if type_url == type_url::ROUTE && !concerned.is_empty() {
            output.extend(self.push(type_url::VIRTUAL_HOST).map(Output::Send));
        }
        if !first {
            // What changed while this type waited for its acknowledgement.
            output.extend(self.push(&type_url).map(Output::Send));
            if type_url == type_url::ROUTE {
                output.extend(self.push(type_url::VIRTUAL_HOST).map(Output::Send));
            }
            if REFERRING.contains(&type_url.as_str()) {
                let released = REFERRED.iter().filter_map(|type_url| self.push(type_url));
                output.extend(released.map(Output::Send));
            }
        }
        output
    }

    /// A route configuration that is asked for on a stream that virtual hosts are followed on is new to the
    /// proxy, and so are its virtual hosts; it does not ask for these, but waits.
    fn ask_again_for_hosts(&mut self, routes: &Concerned, brought: &BTreeMap<String, String>) {
        let known = self.resources.table(type_url::ROUTE);
        let Some(watch) = self.watches.get_mut(type_url::VIRTUAL_HOST) else {
            return;
        };
        let new = |name: &str| {
            let route = route_of(name);
            let asked = match routes {
                Concerned::AllOfTable => known.get(route).is_some(),
                Concerned::These(names) => names.contains(route),
            };
            asked && !brought.contains_key(route)
        };
        let table = self.resources.table(type_url::VIRTUAL_HOST);
        let hosts = table.iter().filter(|host| new(&host.name));
        let nothing = hosts.map(|host| (host.name.clone(), Has::Nothing));
        watch.apart.extend(nothing);
    }

    /// What changed for a type, unless it still waits for an acknowledgement or nothing did.
    fn push(&mut self, type_url: &str) -> Option<Arc<Reply>> {
        let watch = self.watches.get(type_url)?;
        if !watch.in_flight.is_empty() {
            return None;
        }
        // Hosts that come before their route configuration is one whose hosts stand apart are lost: the proxy does
        // not ask for them again.
        if type_url == type_url::VIRTUAL_HOST && !self.difference(type_url::ROUTE).is_empty() {
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

    /// Whether a name counts as followed. Virtual hosts follow their route configuration, once it is known which
    /// are asked for.
    fn follows(&self, type_url: &str, watch: &Watch, name: &str) -> bool {
        if type_url != type_url::VIRTUAL_HOST {
            return watch.follows(name);
        }
        match self.watches.get(type_url::ROUTE) {
            Some(routes) => routes.follows(route_of(name)),
            None => true,
        }
    }

    /// Everything followed whose version differs from what the proxy has, and what it has and is gone.
    fn difference(&self, type_url: &str) -> Difference {
        let mut difference = Difference::default();
        let Some(watch) = self.watches.get(type_url) else {
            return difference;
        };
        let table = self.resources.table(type_url);
        let warming = type_url == type_url::ENDPOINT && !self.warming.is_empty();
        if watch.apart.is_empty() && !warming {
            if watch.base.is(table) {
                return difference;
            }
            let follows_all = watch.all && type_url != type_url::VIRTUAL_HOST;
            if watch.base.is_empty() && (follows_all || watch.names.are_all_of(table)) {
                difference.changed = table.iter().cloned().collect();
                return difference;
            }
        }
        let mut suspects: BTreeSet<&Arc<str>> = watch.base.differing(table).collect();
        suspects.extend(watch.apart.keys());
        if warming {
            suspects.extend(&self.warming);
        }
        for name in suspects {
            let follows = self.follows(type_url, watch, name);
            let has = watch.has(name, follows);
            match table.get(name) {
                Some(resource) if follows => {
                    let warms = warming && self.warming.contains(name);
                    if warms || has != Has::Version(resource.version) {
                        difference.changed.push(resource.clone());
                    }
                }
                // With its route configuration it went from the proxy.
                Some(_) if type_url == type_url::VIRTUAL_HOST => {}
                _ if has != Has::Nothing => difference.removed.push(name.clone()),
                _ => {}
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
        if watch.names.are_all_of(table) {
            return Vec::new();
        }
        let missing =
            |name: &&Arc<str>| table.get(name).is_none() && watch.has(name, true) == Has::Nothing;
        watch.names.iter().filter(missing).cloned().collect()
    }

    /// The proxy was told everything but the removal of `held`.
    fn settle(&mut self, type_url: &str, held: &[Arc<str>]) {
        let table = self.resources.table(type_url);
        if let Some(watch) = self.watches.get_mut(type_url) {
            let held = held
                .iter()
                .map(|name| (name.clone(), watch.has(name, watch.follows(name))));
            watch.apart = held.collect();
            if !watch.base.is(table) {
                watch.base = table.clone();
                watch.names.settle(table);
            }
        }
    }

    /// A response of `type_url` that says `difference`.
    fn respond(&mut self, type_url: &str, difference: Difference) -> Arc<Reply> {
        let Difference { changed, removed } = difference;
        let follows_endpoints = self.watches.contains_key(type_url::ENDPOINT);
        let watch = self.watches.entry(type_url.to_owned()).or_default();
        let table = self.resources.table(type_url);
        let replaced = match type_url {
            type_url::ROUTE => changed
                .iter()
                .filter_map(|resource| watch.base.get(&resource.name).cloned())
                .collect(),
            _ => Vec::new(),
        };
        let nothing_yet = watch.base.is_empty() && watch.apart.is_empty();
        if nothing_yet && removed.is_empty() && changed.len() == table.len() {
            watch.base = table.clone();
        } else {
            let states = changed.iter().map(|resource| {
                let version = Has::Version(resource.version);
                (resource.name.clone(), version)
            });
            watch.apart.extend(states);
            let nothing = removed.iter().map(|name| (name.clone(), Has::Nothing));
            watch.apart.extend(nothing);
        }
        match type_url {
            // A proxy that never asked for endpoints will, and gets all that it asks for.
            type_url::CLUSTER if follows_endpoints || self.came_back => {
                let endpoints = self.resources.table(type_url::ENDPOINT);
                let names = changed.iter().map(|cluster| &cluster.name);
                let names = names.filter(|name| endpoints.get(name).is_some());
                self.warming.extend(names.cloned());
                for name in &removed {
                    self.warming.remove(name);
                }
            }
            type_url::ENDPOINT if !self.warming.is_empty() => {
                for endpoints in &changed {
                    self.warming.remove(&endpoints.name);
                }
            }
            _ => {}
        }
        let reply = Arc::new(Reply {
            type_url: type_url.to_owned(),
            nonce: self.nonces.next(),
            version: table.version().clone(),
            resources: changed,
            removed,
        });
        watch.in_flight.push_back(Sent {
            reply: reply.clone(),
            replaced,
        });
        reply
    }
}

/// The route configuration that a virtual host belongs to.
fn route_of(host: &str) -> &str {
    host.split_once('/').map_or(host, |(route, _)| route)
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
    /// The response with this nonce, which is no longer in flight, nor are earlier ones.
    fn acknowledge(&mut self, nonce: &str) -> Option<Sent> {
        let mut sent = self.in_flight.iter();
        let position = sent.position(|sent| sent.reply.nonce == nonce)?;
        self.in_flight.drain(..=position).next_back()
    }

    /// Changes what is followed and returns the names that must be answered for.
    fn subscribe(
        &mut self,
        subscribe: &[String],
        unsubscribe: &[String],
        table: &Table,
    ) -> Concerned {
        let all_of_table = |added: &Added| matches!(added, Added::AllOfTable);
        let mut concerned = BTreeSet::new();
        for name in unsubscribe {
            self.refusals.forget(name);
            if name == ALL {
                self.all = false;
                let names = &self.names;
                self.apart.retain(|name, _| names.contains(name));
            } else if self.names.remove(name) && self.all {
                // Still covered by the wildcard: the proxy has to be told its state.
                concerned.insert(name.as_str().into());
            } else if !self.all {
                self.apart.remove(name.as_str());
            }
        }
        if subscribe.iter().any(|name| name == ALL) {
            self.follow_all();
            let named: Vec<String> = subscribe
                .iter()
                .filter(|name| *name != ALL)
                .cloned()
                .collect();
            concerned.extend(self.names.add(&named, table).names(table));
        } else if !subscribe.is_empty() {
            // Asked for again means that the proxy may have dropped it.
            let added = self.names.add(subscribe, table);
            if all_of_table(&added) && concerned.is_empty() {
                return Concerned::AllOfTable;
            }
            concerned.extend(added.names(table));
        }
        Concerned::These(concerned)
    }

    /// Takes in what a proxy has from another stream, by name and version.
    fn bring(&mut self, brought: &BTreeMap<String, String>, table: &Table) {
        let follows_table = self.all || self.names.are_all_of(table);
        let same = |(resource, (name, version)): (&Arc<Resource>, (&String, &String))| {
            *resource.name == **name && parse_version(version) == Some(resource.version)
        };
        if follows_table
            && !brought.is_empty()
            && brought.len() == table.len()
            && table.iter().zip(brought).all(same)
        {
            self.base = table.clone();
            return;
        }
        self.apart.extend(versions_of(brought));
    }

    /// From names to everything: of the table it has only what it followed.
    fn follow_all(&mut self) {
        if self.all {
            return;
        }
        for name in self.names.iter() {
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

    /// What the proxy has under a name that it follows or not.
    fn has(&self, name: &str, follows: bool) -> Has {
        match self.apart.get(name) {
            Some(apart) => *apart,
            None if follows => match self.base.get(name) {
                Some(resource) => Has::Version(resource.version),
                None => Has::Nothing,
            },
            None => Has::Nothing,
        }
    }
}

fn versions_of(brought: &BTreeMap<String, String>) -> BTreeMap<Arc<str>, Has> {
    let brought = brought.iter().map(|(name, version)| {
        let version = parse_version(version).map_or(Has::Other, Has::Version);
        (name.as_str().into(), version)
    });
    brought.collect()
}

/// Names that must be answered for.
enum Concerned {
    /// Exactly those of the table.
    AllOfTable,
    /// These.
    These(BTreeSet<Arc<str>>),
}

impl Concerned {
    fn is_empty(&self) -> bool {
        matches!(self, Concerned::These(names) if names.is_empty())
    }
}

/// The state of each of these: its resource, or that there is none.
fn state_of(concerned: &Concerned, table: &Table) -> Difference {
    let mut state = Difference::default();
    let names = match concerned {
        Concerned::AllOfTable => {
            state.changed = table.iter().cloned().collect();
            return state;
        }
        Concerned::These(names) => names,
    };
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
