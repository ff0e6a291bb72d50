//! Both variants of the protocol bring a proxy to the same end, whatever happens on the way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use proto::codec::type_url::{CLUSTER, ENDPOINT, LISTENER, ROUTE};
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};

use super::{Event, Output, Reply, delta, sotw};
use crate::{Resource, Resources};

/// Type → name → content.
type Held = BTreeMap<&'static str, BTreeMap<String, String>>;

const TYPES: [&str; 4] = [CLUSTER, ENDPOINT, LISTENER, ROUTE];

/// A proxy of either variant: behaves as Envoy does, and takes its time.
trait Client {
    fn send(&mut self, ask: Ask);
    fn update(&mut self, resources: Arc<Resources>);
    /// Takes in the oldest response; false when there is none.
    fn read(&mut self) -> bool;
    fn held(&self) -> Held;
}

/// What to ask for: a type, its names, whether it is the first time.
struct Ask {
    type_url: &'static str,
    names: BTreeSet<String>,
    first: bool,
}

/// The type whose names follow from another type's resources.
fn named_by(type_url: &str) -> Option<&'static str> {
    match type_url {
        CLUSTER => Some(ENDPOINT),
        LISTENER => Some(ROUTE),
        _ => None,
    }
}

struct Delta {
    session: delta::Session,
    inbox: VecDeque<Arc<Reply>>,
    held: Held,
    names: BTreeMap<&'static str, BTreeSet<String>>,
}

struct Sotw {
    session: sotw::Session,
    inbox: VecDeque<Arc<Reply>>,
    held: Held,
    names: BTreeMap<&'static str, BTreeSet<String>>,
    nonces: BTreeMap<&'static str, String>,
}

fn known(type_url: &str) -> &'static str {
    let known = TYPES.into_iter().find(|known| *known == type_url);
    known.expect("one of the types asked for")
}

fn sent(output: Vec<Output>) -> impl Iterator<Item = Arc<Reply>> {
    output.into_iter().filter_map(|output| match output {
        Output::Send(response) => Some(response),
        // Requests cross responses on the way.
        Output::Stale { .. } => None,
        Output::Rejected(rejection) => panic!("nothing is refused here: {rejection:?}"),
    })
}

impl Client for Delta {
    fn send(&mut self, ask: Ask) {
        let before = self.names.insert(ask.type_url, ask.names.clone());
        let before = before.unwrap_or_default();
        let subscribe: Vec<String> = ask.names.difference(&before).cloned().collect();
        let unsubscribe: Vec<String> = before.difference(&ask.names).cloned().collect();
        if !ask.first && subscribe.is_empty() && unsubscribe.is_empty() {
            return;
        }
        for gone in &unsubscribe {
            self.held.entry(ask.type_url).or_default().remove(gone);
        }
        let output = self.session.on(Event::Request(DeltaDiscoveryRequest {
            type_url: ask.type_url.to_owned(),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            ..Default::default()
        }));
        self.inbox.extend(sent(output));
    }

    fn update(&mut self, resources: Arc<Resources>) {
        let output = self.session.on(Event::Resources(resources));
        self.inbox.extend(sent(output));
    }

    fn read(&mut self) -> bool {
        let Some(response) = self.inbox.pop_front() else {
            return false;
        };
        let type_url = known(&response.type_url);
        let held = self.held.entry(type_url).or_default();
        let names = &self.names[type_url];
        for resource in &response.resources {
            let name = resource.name.to_string();
            // Answers to what was unsubscribed meanwhile are dropped.
            if named_by(type_url).is_some() || names.contains(&name) {
                held.insert(name, text(&resource.bytes()));
            }
        }
        for gone in &response.removed {
            held.remove(&**gone);
        }
        let names = held.keys().cloned().collect();
        let output = self.session.on(Event::Request(DeltaDiscoveryRequest {
            type_url: type_url.to_owned(),
            response_nonce: response.nonce.clone(),
            ..Default::default()
        }));
        self.inbox.extend(sent(output));
        if let Some(named) = named_by(type_url) {
            let first = !self.names.contains_key(named);
            self.send(Ask {
                type_url: named,
                names,
                first,
            });
        }
        true
    }

    fn held(&self) -> Held {
        self.held.clone()
    }
}

impl Client for Sotw {
    fn send(&mut self, ask: Ask) {
        self.names.insert(ask.type_url, ask.names.clone());
        let held = self.held.entry(ask.type_url).or_default();
        if named_by(ask.type_url).is_none() {
            held.retain(|name, _| ask.names.contains(name));
        }
        let output = self.session.on(Event::Request(DiscoveryRequest {
            type_url: ask.type_url.to_owned(),
            resource_names: ask.names.into_iter().collect(),
            response_nonce: self.nonces.get(ask.type_url).cloned().unwrap_or_default(),
            ..Default::default()
        }));
        self.inbox.extend(sent(output));
    }

    fn update(&mut self, resources: Arc<Resources>) {
        let output = self.session.on(Event::Resources(resources));
        self.inbox.extend(sent(output));
    }

    fn read(&mut self) -> bool {
        let Some(response) = self.inbox.pop_front() else {
            return false;
        };
        let type_url = known(&response.type_url);
        let contents = response
            .resources
            .iter()
            .map(|resource| text(&resource.bytes()));
        let contents = contents.map(|text| {
            let (name, _) = text.split_once('=').expect("name=content");
            (name.to_owned(), text)
        });
        let held: BTreeMap<String, String> = contents.collect();
        let names: BTreeSet<String> = held.keys().cloned().collect();
        self.held.insert(type_url, held);
        self.nonces.insert(type_url, response.nonce.clone());
        let followed = self.names[type_url].clone();
        self.send(Ask {
            type_url,
            names: followed,
            first: false,
        });
        if let Some(named) = named_by(type_url) {
            let first = !self.names.contains_key(named);
            // Envoy asks when the names differ.
            if first || self.names[named] != names {
                self.send(Ask {
                    type_url: named,
                    names,
                    first,
                });
            }
        }
        true
    }

    fn held(&self) -> Held {
        self.held.clone()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// Some clusters with endpoints, some listeners with routes.
fn world(random: &mut fastrand::Rng) -> (Arc<Resources>, Held) {
    let (mut resources, mut held) = (Resources::default(), Held::new());
    for type_url in TYPES {
        held.insert(type_url, BTreeMap::new());
    }
    for (whole, part) in [(CLUSTER, ENDPOINT), (LISTENER, ROUTE)] {
        for name in ["a", "b", "c", "d", "e"] {
            if random.bool() {
                continue;
            }
            for type_url in [whole, part] {
                let content = format!("{name}={}", random.u8(..3));
                let bytes = content.as_bytes();
                resources.insert(type_url, Resource::new(type_url, name, bytes, Vec::new()));
                let of_type = held.get_mut(type_url).expect("filled above");
                of_type.insert(name.to_owned(), content);
            }
        }
    }
    (Arc::new(resources), held)
}

fn run(client: &mut dyn Client, worlds: &[(Arc<Resources>, Held)], mut random: fastrand::Rng) {
    for type_url in [CLUSTER, LISTENER] {
        client.send(Ask {
            type_url,
            names: BTreeSet::new(),
            first: true,
        });
    }
    for (resources, _) in worlds {
        for _ in 0..random.u8(..6) {
            client.read();
        }
        client.update(resources.clone());
    }
    let mut reads = 0;
    while client.read() {
        reads += 1;
        assert!(reads < 1000, "it never comes to rest");
    }
}

#[test]
fn incremental_and_state_of_the_world_clients_end_equal() {
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let worlds: Vec<_> = (0..8).map(|_| world(&mut random)).collect();
        let (start, (_, end)) = (&worlds[0].0, worlds.last().expect("some"));
        let names = BTreeMap::from([(CLUSTER, BTreeSet::new()), (LISTENER, BTreeSet::new())]);
        let mut delta = Delta {
            session: delta::Session::new(start.clone()),
            inbox: VecDeque::new(),
            held: Held::new(),
            names: names.clone(),
        };
        let mut sotw = Sotw {
            session: sotw::Session::new(start.clone()),
            inbox: VecDeque::new(),
            held: Held::new(),
            names,
            nonces: BTreeMap::new(),
        };
        run(&mut delta, &worlds[1..], random.fork());
        run(&mut sotw, &worlds[1..], random.fork());
        assert_eq!(delta.held(), *end, "incremental, seed {seed}");
        assert_eq!(sotw.held(), *end, "state of the world, seed {seed}");
    }
}
