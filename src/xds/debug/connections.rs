//! The streams that are open: each driver feeds its own entry, questions read them all. What a session knows
//! anyway is read from the session itself, so that an entry costs little memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::snapshot::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use crate::session::Refusal;
use crate::{Node, Resources};

/// The open streams of a process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Connections {
    state: Arc<Mutex<State>>,
    refused: Arc<watch::Sender<Refused>>,
}

/// What open streams refuse, by the number of the stream; those that refuse nothing are not in it.
pub type Refused = BTreeMap<u64, Arc<[Refusal]>>;

#[derive(Default)]
struct State {
    opened: u64,
    open: BTreeMap<u64, Arc<Connection>>,
}

/// What a session follows, by type; `*` for everything.
pub(crate) trait Watched: Send + Sync {
    fn watched(&self) -> Vec<(String, Vec<String>)>;
}

/// What is known when a stream opens.
pub(crate) struct Opening<'a> {
    pub peer: &'a str,
    pub node: &'a Node,
    /// The node's metadata and locality, as JSON.
    pub metadata: &'a Value,
    pub locality: Value,
    pub resources: watch::Receiver<Arc<Resources>>,
    pub session: Arc<dyn Watched>,
    /// Whether the stream may have secrets.
    pub proven: bool,
}

/// One stream.
pub(crate) struct Connection {
    /// Unique in this process: the proxy's id and a number.
    pub id: String,
    /// `pod.namespace`, or however else the proxy calls itself in its node id.
    pub proxy: String,
    pub peer: String,
    pub connected: Timestamp,
    pub namespace: String,
    /// `sidecar`, `router` …
    pub kind: String,
    pub locality: Value,
    pub session: Arc<dyn Watched>,
    pub proven: bool,
    resources: watch::Receiver<Arc<Resources>>,
    /// As text: a tree takes several times the memory.
    metadata: Box<str>,
    exchanges: Mutex<BTreeMap<String, Exchange>>,
}

/// The last words about one type.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Exchange {
    /// Nonce of the last response.
    pub sent: String,
    /// Nonce of the last response that was accepted.
    pub acknowledged: String,
    /// When the last response was sent.
    pub at: Option<Timestamp>,
    /// What the proxy complained about, until it accepts something.
    pub error: String,
}

/// An open stream's hold on its entry; the entry goes with it.
pub(crate) struct Entry {
    connections: Connections,
    number: u64,
    connection: Arc<Connection>,
}

impl Connections {
    pub(crate) fn open(&self, opening: Opening<'_>) -> Entry {
        let mut state = self.state();
        state.opened += 1;
        let number = state.opened;
        let proxy = opening.node.id.split('~').nth(2).unwrap_or_default();
        let connection = Arc::new(Connection {
            id: format!("{proxy}-{number}"),
            proxy: proxy.to_owned(),
            peer: opening.peer.to_owned(),
            connected: Timestamp::now(),
            namespace: opening.node.namespace.clone(),
            kind: opening.node.kind.clone(),
            locality: opening.locality,
            session: opening.session,
            proven: opening.proven,
            resources: opening.resources,
            metadata: opening.metadata.to_string().into(),
            exchanges: Mutex::default(),
        });
        state.open.insert(number, connection.clone());
        drop(state);
        Entry {
            connections: self.clone(),
            number,
            connection,
        }
    }

    /// What proxies refuse, now and whenever it changes.
    pub fn refused(&self) -> watch::Receiver<Refused> {
        self.refused.subscribe()
    }

    /// All open streams, by id.
    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        let mut all: Vec<_> = self.state().open.values().cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The stream whose id has `text` in it, the first of several, as upstream finds it.
    pub(crate) fn find(&self, text: &str) -> Option<Arc<Connection>> {
        let all = self.all();
        all.into_iter()
            .find(|connection| connection.id.contains(text))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is kept is whole between any two lines that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// The node's metadata.
    pub fn metadata(&self) -> Value {
        serde_json::from_str(&self.metadata).unwrap_or_default()
    }

    /// What the proxy is to have at this moment.
    pub fn resources(&self) -> Arc<Resources> {
        self.resources.borrow().clone()
    }

    /// The last words about each type.
    pub fn exchanges(&self) -> BTreeMap<String, Exchange> {
        self.known().clone()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Exchange>> {
        self.exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self, type_url: &str, change: impl FnOnce(&mut Exchange)) {
        let mut known = self.known();
        match known.get_mut(type_url) {
            Some(exchange) => change(exchange),
            None => change(known.entry(type_url.to_owned()).or_default()),
        }
    }
}

impl Entry {
    /// The proxy said something about a type: it asks, accepts a response, or refuses it with `error`.
    pub fn heard(&self, type_url: &str, nonce: &str, error: Option<&str>) {
        self.connection.exchange(type_url, |exchange| {
            // Words about an older response change nothing.
            if nonce.is_empty() || nonce != exchange.sent {
                return;
            }
            match error {
                Some(error) => error.clone_into(&mut exchange.error),
                None => {
                    nonce.clone_into(&mut exchange.acknowledged);
                    exchange.error.clear();
                }
            }
        });
    }

    /// What the proxy refuses from now on.
    pub fn refuses(&self, refusals: Vec<Refusal>) {
        self.connections.refused.send_if_modified(|all| {
            let before = match refusals.is_empty() {
                true => return all.remove(&self.number).is_some(),
                false => all.get(&self.number),
            };
            let differs = before.is_none_or(|before| **before != *refusals);
            if differs {
                all.insert(self.number, refusals.into());
            }
            differs
        });
    }

    /// A response went out.
    pub fn sent(&self, type_url: &str, nonce: &str) {
        self.connection.exchange(type_url, |exchange| {
            nonce.clone_into(&mut exchange.sent);
            exchange.at = Some(Timestamp::now());
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.state().open.remove(&self.number);
        self.refuses(Vec::new());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use tokio::sync::watch;

    use super::{Connections, Entry, Opening, Watched};
    use crate::{Node, Resources};

    pub struct Follows(pub Vec<(String, Vec<String>)>);

    impl Watched for Follows {
        fn watched(&self) -> Vec<(String, Vec<String>)> {
            self.0.clone()
        }
    }

    /// Opens an entry for a proxy of a namespace.
    pub fn open(
        connections: &Connections,
        pod: &str,
        namespace: &str,
        follows: &[(&str, &[&str])],
        resources: Resources,
    ) -> Entry {
        let node = Node {
            id: format!("sidecar~10.0.0.1~{pod}.{namespace}~{namespace}.svc.cluster.local"),
            kind: "sidecar".to_owned(),
            namespace: namespace.to_owned(),
            service_account: None,
            version: Some("1.30.0".to_owned()),
        };
        let follows = follows.iter().map(|(type_url, names)| {
            let names = names.iter().map(|name| (*name).to_owned());
            ((*type_url).to_owned(), names.collect())
        });
        let metadata = json!({
            "CLUSTER_ID": "c1", "ISTIO_VERSION": "1.30.0", "NAMESPACE": namespace,
            "LABELS": {"app": pod}, "PROXY_CONFIG": {},
        });
        // The sender is dropped: the receiver keeps the last value.
        let (_, resources) = watch::channel(Arc::new(resources));
        connections.open(Opening {
            peer: "10.0.0.1:4711",
            node: &node,
            metadata: &metadata,
            locality: Value::Null,
            resources,
            session: Arc::new(Follows(follows.collect())),
            proven: true,
        })
    }

    #[test]
    fn an_entry_goes_with_its_stream() {
        let connections = Connections::default();
        let first = open(&connections, "web", "shop", &[], Resources::default());
        let second = open(&connections, "web", "shop", &[], Resources::default());
        let ids: Vec<String> = connections.all().iter().map(|c| c.id.clone()).collect();
        assert_eq!(ids, ["web.shop-1", "web.shop-2"]);
        drop(first);
        assert_eq!(connections.find("web.shop").expect("open").id, "web.shop-2");
        drop(second);
        assert!(connections.find("web").is_none());
    }

    #[test]
    fn only_words_about_the_last_response_count() {
        let connections = Connections::default();
        let entry = open(&connections, "web", "shop", &[], Resources::default());
        let known = || {
            let exchanges = connections.all()[0].exchanges();
            let exchange = exchanges["t"].clone();
            (exchange.sent, exchange.acknowledged, exchange.error)
        };
        let state = |sent: &str, acknowledged: &str, error: &str| {
            (sent.to_owned(), acknowledged.to_owned(), error.to_owned())
        };
        entry.heard("t", "", None);
        assert_eq!(known(), state("", "", ""));
        entry.sent("t", "1");
        entry.sent("t", "2");
        entry.heard("t", "1", None);
        assert_eq!(known(), state("2", "", ""));
        entry.heard("t", "2", Some("bad"));
        assert_eq!(known(), state("2", "", "bad"));
        entry.sent("t", "3");
        assert_eq!(known(), state("3", "", "bad"));
        entry.heard("t", "3", None);
        assert_eq!(known(), state("3", "3", ""));
    }
}
