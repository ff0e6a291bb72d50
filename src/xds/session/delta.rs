//! Incremental xDS: a response carries what differs from what the proxy is known to have.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use proto::codec::any;
use proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as Wire,
};

use super::{
    Event, Nonces, Output, Rejection, asks_for_all_without_names, control_plane, message,
    push_order,
};
use crate::resources::version_of;
use crate::{Resource, Resources};

/// Subscribes to everything, explicitly.
const ALL: &str = "*";

/// One incremental stream.
#[derive(Debug)]
pub struct Session {
    control_plane: String,
    resources: Arc<Resources>,
    nonces: Nonces,
    watches: BTreeMap<String, Watch>,
}

/// What one stream holds of one type.
#[derive(Debug, Default)]
struct Watch {
    /// Whether it follows everything.
    all: bool,
    /// Names that it follows, whether they exist or not.
    names: BTreeSet<String>,
    /// Name → version that was sent last, or that the proxy brought along.
    sent: BTreeMap<String, String>,
    /// Unacknowledged responses, oldest first: nonce and the names in it.
    in_flight: VecDeque<(String, Vec<String>)>,
}

impl Session {
    /// A stream of a proxy that is to have `resources`. `control_plane` names this process to the proxy.
    pub fn new(control_plane: impl Into<String>, resources: Arc<Resources>) -> Self {
        Session {
            control_plane: control_plane.into(),
            resources,
            nonces: Nonces::default(),
            watches: BTreeMap::new(),
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
            watch.sent = initial_resource_versions.into_iter().collect();
        } else if !response_nonce.is_empty() {
            match (watch.acknowledge(&response_nonce), error_detail) {
                (None, _) => output.push(Output::Stale {
                    type_url: type_url.clone(),
                }),
                (Some(names), Some(error)) => output.push(Output::Rejected(Rejection {
                    type_url: type_url.clone(),
                    nonce: response_nonce,
                    message: message(&error),
                    names,
                })),
                (Some(_), None) => {}
            }
        }

        // Subscriptions count even in a request about an old response.
        let followed_all = watch.all;
        let concerned = watch.subscribe(&subscribe, &unsubscribe);
        let now_all = watch.all && !followed_all;
        if first {
            // The proxy waits for this answer, empty or not.
            let difference = watch.first_difference(&self.resources, &type_url);
            output.push(Output::Send(self.respond(&type_url, difference)));
        } else {
            if now_all {
                let difference = watch.difference(&self.resources, &type_url);
                output.push(Output::Send(self.respond(&type_url, difference)));
            }
            if !concerned.is_empty() {
                let difference = state_of(&concerned, &self.resources, &type_url);
                output.push(Output::Send(self.respond(&type_url, difference)));
            }
            // What changed while this type waited for its acknowledgement.
            output.extend(self.push(&type_url).map(Output::Send));
        }
        output
    }

    /// What changed for a type, unless it still waits for an acknowledgement or nothing did.
    fn push(&mut self, type_url: &str) -> Option<DeltaDiscoveryResponse> {
        let watch = self.watches.get(type_url)?;
        let difference = watch.difference(&self.resources, type_url);
        let waits = !watch.in_flight.is_empty();
        (!waits && !difference.is_empty()).then(|| self.respond(type_url, difference))
    }

    /// A response of `type_url` that says `difference`.
    fn respond(&mut self, type_url: &str, difference: Difference) -> DeltaDiscoveryResponse {
        let Difference { changed, removed } = difference;
        let watch = self.watches.entry(type_url.to_owned()).or_default();
        for resource in &changed {
            let (name, version) = (resource.name.clone(), resource.version.clone());
            watch.sent.insert(name, version);
        }
        for name in &removed {
            watch.sent.remove(name);
        }
        let nonce = self.nonces.next();
        let names = changed.iter().map(|resource| resource.name.clone());
        let names = names.chain(removed.iter().cloned()).collect();
        watch.in_flight.push_back((nonce.clone(), names));
        DeltaDiscoveryResponse {
            system_version_info: version_of(self.resources.of_type(type_url)),
            type_url: type_url.to_owned(),
            nonce,
            control_plane: control_plane(&self.control_plane),
            resources: changed
                .into_iter()
                .map(|resource| Wire {
                    name: resource.name.clone(),
                    version: resource.version.clone(),
                    resource: Some(any(type_url, resource.bytes.clone())),
                    ..Default::default()
                })
                .collect(),
            removed_resources: removed,
            ..Default::default()
        }
    }
}

/// What a proxy lacks and what it has too much.
struct Difference {
    changed: Vec<Arc<Resource>>,
    removed: Vec<String>,
}

impl Difference {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }
}

impl Watch {
    /// The names of the response with this nonce, which is no longer in flight, nor are earlier ones.
    fn acknowledge(&mut self, nonce: &str) -> Option<Vec<String>> {
        let position = self.in_flight.iter().position(|(sent, _)| sent == nonce)?;
        self.in_flight
            .drain(..=position)
            .last()
            .map(|(_, names)| names)
    }

    /// Changes what is followed and returns the names that must be answered for.
    fn subscribe(&mut self, subscribe: &[String], unsubscribe: &[String]) -> BTreeSet<String> {
        let mut concerned = BTreeSet::new();
        for name in unsubscribe {
            if name == ALL {
                self.all = false;
                let names = &self.names;
                self.sent.retain(|name, _| names.contains(name));
            } else if self.names.remove(name) && self.all {
                // Still covered by the wildcard: the proxy has to be told its state.
                concerned.insert(name.clone());
            } else if !self.all {
                self.sent.remove(name);
            }
        }
        for name in subscribe {
            if name == ALL {
                self.all = true;
            } else {
                // Asked for again means that the proxy may have dropped it.
                self.names.insert(name.clone());
                concerned.insert(name.clone());
            }
        }
        concerned
    }

    fn follows(&self, name: &str) -> bool {
        self.all || self.names.contains(name)
    }

    /// Everything followed whose version differs from what was sent, and what was sent and is gone.
    fn difference(&self, resources: &Resources, type_url: &str) -> Difference {
        let changed = resources
            .of_type(type_url)
            .filter(|resource| self.follows(&resource.name))
            .filter(|resource| self.sent.get(&resource.name) != Some(&resource.version))
            .cloned()
            .collect();
        let gone = |name: &&String| resources.get(type_url, name).is_none() || !self.follows(name);
        let removed = self.sent.keys().filter(gone).cloned().collect();
        Difference { changed, removed }
    }

    /// As [`Self::difference`], and which of the names asked for do not exist.
    fn first_difference(&self, resources: &Resources, type_url: &str) -> Difference {
        let mut difference = self.difference(resources, type_url);
        let missing = |name: &&String| resources.get(type_url, name).is_none();
        let unknown = |name: &&String| !self.sent.contains_key(*name);
        let names = self.names.iter().filter(missing).filter(unknown);
        difference.removed.extend(names.cloned());
        difference
    }
}

/// The state of each of `names`: its resource, or that there is none.
fn state_of(names: &BTreeSet<String>, resources: &Resources, type_url: &str) -> Difference {
    let (mut changed, mut removed) = (Vec::new(), Vec::new());
    for name in names {
        match resources.get(type_url, name) {
            Some(resource) => changed.push(resource.clone()),
            None => removed.push(name.clone()),
        }
    }
    Difference { changed, removed }
}

#[cfg(test)]
mod tests;
