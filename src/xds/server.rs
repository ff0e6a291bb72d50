//! The discovery service: one driver per stream, around a session without I/O.
//!
//! A driver is pulled by the transport: while the proxy's window is full nothing is computed for it, requests
//! wait in their own window, and new resources replace each other. So a proxy that does not read costs one
//! step's responses, and no task or slot that others need.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use proto::ads::{Caller, Discovery, Encoded, Messages};
use proto::codec::type_url;
use proto::envoy::config::core::v3::Node as WireNode;
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use serve::Shutdown;
use serve::authenticate::{self, Authenticate, Credentials, Identity};
use serve::http::Peer;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;
use tracing::{debug, info, warn};

use crate::body::Variant;
use crate::debug::{self, Asked, Debug, Entry, Opening, Watched};
use crate::metrics::{Connected, Refused};
use crate::session::{Event, Output, Refusal, Rejection, Reply, delta, sotw};
use crate::{Metrics, Node, Push, Resources, proxy, secrets};

/// Objects that are named in the log of a refusal, at most.
const SUSPECTS: usize = 20;

/// Who may open a stream.
#[derive(Clone)]
pub enum Access {
    /// Callers that prove who they are, and whose node claims nothing else.
    Authenticated(Arc<dyn Authenticate>),
    /// Callers that prove who they are; what their nodes claim is believed, and so they get no secrets
    /// (upstream: PILOT_ENABLE_XDS_IDENTITY_CHECK=false).
    Unchecked(Arc<dyn Authenticate>),
    /// Anyone, without secrets: the plaintext port.
    Anonymous,
}

/// The aggregated discovery service of one port.
#[derive(Clone)]
pub struct Server {
    /// Who may open a stream.
    pub access: Access,
    /// How this process calls itself to proxies.
    pub control_plane: String,
    /// Where it is told what a proxy is to have.
    pub push: Push,
    /// Counted here.
    pub metrics: Metrics,
    /// What streams tell about themselves, and who answers questions about it.
    pub debug: Debug,
    /// Ends all streams.
    pub shutdown: Shutdown,
}

#[tonic::async_trait]
impl Discovery for Server {
    async fn stream(
        &self,
        caller: Caller,
        requests: Messages<DiscoveryRequest>,
    ) -> Result<Messages<Encoded>, Status> {
        let identity = self.identify(&caller).await?;
        Ok(self.drive(caller, identity, requests, sotw::Session::new))
    }

    async fn delta(
        &self,
        caller: Caller,
        requests: Messages<DeltaDiscoveryRequest>,
    ) -> Result<Messages<Encoded>, Status> {
        let identity = self.identify(&caller).await?;
        Ok(self.drive(caller, identity, requests, delta::Session::new))
    }
}

/// The two variants of the protocol, as the driver sees them.
trait Session: Send + 'static {
    const VARIANT: Variant;
    type Request: Send + 'static;
    fn on(&mut self, event: Event<Self::Request>) -> Vec<Output>;
    fn watched(&self) -> Vec<(String, Vec<String>)>;
    fn refusals(&self) -> Vec<Refusal>;
    fn node(request: &Self::Request) -> Option<&WireNode>;
    fn asked(request: &Self::Request) -> Asked<'_>;
}

impl<S: Session> Watched for Mutex<S> {
    fn watched(&self) -> Vec<(String, Vec<String>)> {
        self.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .watched()
    }
}

impl Session for delta::Session {
    const VARIANT: Variant = Variant::Delta;
    type Request = DeltaDiscoveryRequest;
    fn on(&mut self, event: Event<Self::Request>) -> Vec<Output> {
        delta::Session::on(self, event)
    }
    fn watched(&self) -> Vec<(String, Vec<String>)> {
        delta::Session::watched(self)
    }
    fn refusals(&self) -> Vec<Refusal> {
        delta::Session::refusals(self).cloned().collect()
    }
    fn node(request: &Self::Request) -> Option<&WireNode> {
        request.node.as_ref()
    }
    fn asked(request: &Self::Request) -> Asked<'_> {
        Asked {
            type_url: &request.type_url,
            nonce: &request.response_nonce,
            error: request.error_detail.as_ref().map(|error| &*error.message),
            names: &request.resource_names_subscribe,
        }
    }
}

impl Session for sotw::Session {
    const VARIANT: Variant = Variant::StateOfTheWorld;
    type Request = DiscoveryRequest;
    fn on(&mut self, event: Event<Self::Request>) -> Vec<Output> {
        sotw::Session::on(self, event)
    }
    fn watched(&self) -> Vec<(String, Vec<String>)> {
        sotw::Session::watched(self)
    }
    fn refusals(&self) -> Vec<Refusal> {
        sotw::Session::refusals(self).cloned().collect()
    }
    fn node(request: &Self::Request) -> Option<&WireNode> {
        request.node.as_ref()
    }
    fn asked(request: &Self::Request) -> Asked<'_> {
        Asked {
            type_url: &request.type_url,
            nonce: &request.response_nonce,
            error: request.error_detail.as_ref().map(|error| &*error.message),
            names: &request.resource_names,
        }
    }
}

/// One stream: what it holds, and what is ready to be sent.
struct Stream<S: Session> {
    server: Server,
    peer: String,
    identity: Option<Identity>,
    new_session: fn(Arc<Resources>) -> S,
    requests: Messages<S::Request>,
    outbox: VecDeque<Arc<Reply>>,
    /// When the change was seen whose responses are in the outbox.
    converges: Option<Instant>,
    /// Who is there, as its first request said.
    node: Option<WireNode>,
    open: Option<Open<S>>,
    /// Until when it is known what of the resources the caller may be sent, when that depends on a right.
    right_until: Option<Instant>,
}

/// What exists once the first request said who is there.
struct Open<S> {
    session: Arc<Mutex<S>>,
    /// What the proxy is to have; values that are not taken in are replaced by later ones.
    resources: watch::Receiver<Arc<Resources>>,
    node: Node,
    entry: Entry,
    /// Whether it was told that the proxy refuses anything.
    refuses: bool,
    /// Dropped with the stream.
    _connected: Connected,
}

impl Server {
    async fn identify(&self, caller: &Caller) -> Result<Option<Identity>, Status> {
        let (authenticate, checked) = match &self.access {
            Access::Authenticated(authenticate) => (authenticate, true),
            Access::Unchecked(authenticate) => (authenticate, false),
            Access::Anonymous => return Ok(None),
        };
        let credentials = Credentials::of(&caller.metadata, &caller.extensions);
        match authenticate.authenticate(credentials).await {
            Ok(identity) => Ok(checked.then_some(identity)),
            Err(refusal) => {
                warn!(peer = peer_of(caller), reason = %refusal, "xDS stream refused");
                self.metrics.refused(match refusal {
                    authenticate::Refusal::Unavailable(_) => Refused::Unavailable,
                    _ => Refused::Unauthenticated,
                });
                Err(refusal.status())
            }
        }
    }

    fn drive<S: Session>(
        &self,
        caller: Caller,
        identity: Option<Identity>,
        requests: Messages<S::Request>,
        new_session: fn(Arc<Resources>) -> S,
    ) -> Messages<Encoded> {
        let stream = Stream {
            server: self.clone(),
            peer: peer_of(&caller),
            identity,
            new_session,
            requests,
            outbox: VecDeque::new(),
            converges: None,
            node: None,
            open: None,
            right_until: None,
        };
        Box::pin(futures::stream::unfold(Some(stream), |stream| async {
            let mut stream = stream?;
            match stream.next().await {
                Ok(Some(response)) => Some((Ok(response), Some(stream))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        }))
    }

    /// What a caller may be sent, and until when that is known if it depends on a right of the caller.
    async fn visible(
        &self,
        resources: &Arc<Resources>,
        identity: Option<&Identity>,
    ) -> (Arc<Resources>, Option<Instant>) {
        if !resources.has(type_url::SECRET) {
            return (resources.clone(), None);
        }
        let mut left = resources.without(type_url::SECRET);
        let mut until = None;
        if let (Some(identity), Access::Authenticated(authenticate)) = (identity, &self.access) {
            let right = authenticate.may_read_secrets(identity).await;
            until = right.map(|right| right.until);
            if right.is_some_and(|right| right.given) {
                return (resources.clone(), until);
            }
            // Who signs the certificates of others is no secret.
            let public = secrets::public(resources.table(type_url::SECRET));
            *left.table_mut(type_url::SECRET) = public;
        }
        (Arc::new(left), until)
    }
}

impl<S: Session> Stream<S> {
    /// The next response, `None` when the proxy is done.
    async fn next(&mut self) -> Result<Option<Encoded>, Status> {
        loop {
            if let Some(response) = self.outbox.pop_front() {
                let Reply {
                    type_url, nonce, ..
                } = &*response;
                let began = Instant::now();
                if let Some(open) = self.open.as_ref().filter(|_| !debug::is_debug(type_url)) {
                    open.entry.sent(type_url, nonce);
                }
                let server = &self.server;
                let control_plane = &server.control_plane;
                let encoded = server
                    .push
                    .bodies
                    .encoded(S::VARIANT, control_plane, &response);
                let metrics = &server.metrics;
                metrics.pushed(type_url, encoded.body.len(), began.elapsed());
                if let Some(since) = self.converges.take_if(|_| self.outbox.is_empty()) {
                    metrics.converged(since.elapsed());
                }
                return Ok(Some(encoded));
            }
            let shutdown = self.server.shutdown.clone();
            let event = tokio::select! {
                () = shutdown.cancelled() => {
                    return Err(Status::unavailable("the control plane is shutting down"));
                }
                request = self.requests.next() => match request {
                    Some(Ok(request)) => Event::Request(request),
                    Some(Err(status)) => {
                        debug!(peer = self.peer, %status, "xDS stream broke");
                        return Ok(None);
                    }
                    None => return Ok(None),
                },
                resources = changed(self.open.as_mut(), self.right_until) => {
                    Event::Resources(self.visible(&resources).await)
                }
            };
            self.take_in(event).await?;
        }
    }

    /// What the caller may be sent, as far as is known now.
    async fn visible(&mut self, resources: &Arc<Resources>) -> Arc<Resources> {
        let (visible, until) = self.server.visible(resources, self.identity.as_ref()).await;
        self.right_until = until;
        visible
    }

    async fn take_in(&mut self, event: Event<S::Request>) -> Result<(), Status> {
        if let Event::Request(request) = &event {
            if self.node.is_none() && self.open.is_none() {
                self.node = S::node(request).cloned();
            }
            if debug::is_debug(S::asked(request).type_url) {
                return self.tell(request);
            }
        }
        if self.open.is_none() {
            // Kept only until it is known: nodes are large.
            let node = self.node.take();
            self.open = Some(self.admit(node.as_ref()).await?);
        }
        let open = self.open.as_mut().expect("opened above");
        if let Event::Request(request) = &event {
            let asked = S::asked(request);
            open.entry.heard(asked.type_url, asked.nonce, asked.error);
        }
        let metrics = &self.server.metrics;
        let mut session = open.session.lock().unwrap_or_else(PoisonError::into_inner);
        let answers =
            matches!(&event, Event::Request(request) if !S::asked(request).nonce.is_empty());
        let changed = matches!(&event, Event::Resources(_));
        let secrets = match &event {
            Event::Request(request) if S::asked(request).type_url == type_url::SECRET => {
                S::asked(request).names.to_vec()
            }
            _ => Vec::new(),
        };
        let outputs = session.on(event);
        if answers {
            let refusals = session.refusals();
            if open.refuses || !refusals.is_empty() {
                open.refuses = !refusals.is_empty();
                open.entry.refuses(refusals);
            }
        }
        for output in outputs {
            match output {
                Output::Send(response) => {
                    let withheld = missing(&secrets, &response);
                    if !withheld.is_empty() {
                        metrics.withheld(withheld.len());
                        info!(
                            node = open.node.id,
                            ?withheld,
                            "secrets that do not exist or are not for this proxy"
                        );
                    }
                    self.outbox.push_back(response);
                }
                Output::Rejected(rejection) => {
                    metrics.rejected(&rejection.type_url);
                    let suspects = suspects(session.refusals(), &rejection);
                    warn!(
                        node = open.node.id, %suspects, type_url = rejection.type_url, names = ?rejection.names,
                        "proxy refused its configuration and keeps what it had: {}", rejection.message
                    );
                }
                Output::Stale { type_url } => metrics.stale(&type_url),
            }
        }
        if changed && !self.outbox.is_empty() {
            let since = self.server.push.since_change();
            self.converges = since.and_then(|since| Instant::now().checked_sub(since));
        }
        Ok(())
    }

    /// Answers a question about this process. Those who ask need not be proxies: nothing is derived for them.
    fn tell(&mut self, request: &S::Request) -> Result<(), Status> {
        let asked = S::asked(request);
        // Any other nonce is none of ours: istioctl puts the time there.
        if asked.nonce == Reply::ONCE {
            return Ok(());
        }
        if self.open.is_none() {
            self.proven(self.node.as_ref())?;
        }
        let caller = self.identity.as_ref().map(|identity| &identity.spiffe);
        let resources = debug::answer_over_xds(&self.server.debug, &asked, caller)?;
        let reply = Reply::once(asked.type_url, resources);
        self.outbox.push_back(Arc::new(reply));
        Ok(())
    }

    /// The node of a caller that may call itself so.
    fn proven(&self, wire: Option<&WireNode>) -> Result<Node, Status> {
        let node = Node::parse(wire).map_err(|error| self.unreadable(&error))?;
        if let Some(identity) = &self.identity
            && !node.is_proven_by(&identity.spiffe)
        {
            self.server.metrics.refused(Refused::IdentityMismatch);
            warn!(peer = self.peer, node = node.id, identity = %identity.spiffe,
                namespace = node.namespace, service_account = ?node.service_account,
                "xDS stream refused: the proxy claims a namespace or service account that is not its own");
            return Err(Status::permission_denied(
                "the node is not that of the caller",
            ));
        }
        Ok(node)
    }

    /// What becomes of a caller whose node cannot be read.
    fn unreadable(&self, error: &dyn std::fmt::Display) -> Status {
        self.server.metrics.refused(Refused::InvalidNode);
        Status::invalid_argument(error.to_string())
    }

    async fn admit(&mut self, wire: Option<&WireNode>) -> Result<Open<S>, Status> {
        let node = self.proven(wire)?;
        let proxy = proxy::of_node(wire.unwrap_or(&WireNode::default()), S::VARIANT)
            .map_err(|error| self.unreadable(&error))?;
        let shutdown = self.server.shutdown.clone();
        let subscribed = tokio::select! {
            () = shutdown.cancelled() => None,
            subscribed = self.server.push.subscribe(proxy) => subscribed,
        };
        let Some(mut resources) = subscribed else {
            return Err(Status::unavailable("the control plane is shutting down"));
        };
        info!(
            peer = self.peer,
            node = node.id,
            version = node.version.as_deref().unwrap_or("unknown"),
            "proxy connected"
        );
        let first = resources.borrow_and_update().clone();
        let first = self.visible(&first).await;
        let session = (self.new_session)(first);
        let session = Arc::new(Mutex::new(session));
        let (metadata, locality) = proxy::described(wire);
        let entry = self.server.debug.connections.open(Opening {
            peer: &self.peer,
            node: &node,
            metadata: &metadata,
            locality,
            resources: resources.clone(),
            session: session.clone(),
            proven: self.identity.is_some(),
        });
        Ok(Open {
            session,
            resources,
            entry,
            refuses: false,
            _connected: self.server.metrics.connected(node.version.as_deref()),
            node,
        })
    }
}

impl<S: Session> Drop for Stream<S> {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            info!(peer = self.peer, node = open.node.id, "proxy disconnected");
        }
    }
}

/// The next value of what an open stream's proxy is to have, or the same again when its right to that has to be
/// asked for anew: rights change without a change of the mesh. Never, before there is one.
async fn changed<S>(open: Option<&mut Open<S>>, right_until: Option<Instant>) -> Arc<Resources> {
    let Some(open) = open else {
        return std::future::pending().await;
    };
    let right_ends = async {
        match right_until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        Ok(()) = open.resources.changed() => {}
        () = right_ends => {}
    }
    open.resources.borrow_and_update().clone()
}

/// The objects of users that are to blame for a refusal.
fn suspects(refusals: Vec<Refusal>, rejection: &Rejection) -> String {
    let refused = refusals.iter().filter(|refusal| {
        refusal.type_url == rejection.type_url && *refusal.message == *rejection.message
    });
    let suspects: BTreeSet<String> = refused
        .flat_map(|refusal| &*refusal.suspects)
        .map(ToString::to_string)
        .collect();
    // The others are in the proxy's own words or in the list of names.
    let shown: Vec<String> = suspects.into_iter().take(SUSPECTS).collect();
    shown.join(", ")
}

/// Those of the `asked` secrets that a response does not give.
fn missing<'a>(asked: &'a [String], response: &Reply) -> Vec<&'a String> {
    if response.type_url != type_url::SECRET {
        return Vec::new();
    }
    let given = |name: &String| response.resources.iter().any(|one| *one.name == **name);
    asked.iter().filter(|name| !given(name)).collect()
}

fn peer_of(caller: &Caller) -> String {
    let peer = caller.extensions.get::<Peer>();
    peer.map_or_else(|| "unknown".to_owned(), |peer| peer.address.to_string())
}

#[cfg(test)]
mod attempts;
#[cfg(test)]
mod tests;
