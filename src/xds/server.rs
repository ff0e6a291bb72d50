//! The discovery service: one driver per stream, around a session without I/O.
//!
//! A driver is pulled by the transport: while the proxy's window is full nothing is computed for it, requests
//! wait in their own window, and new resources replace each other. So a proxy that does not read costs one
//! step's responses, and no task or slot that others need.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use futures::StreamExt;
use proto::ads::{Caller, Discovery, Messages};
use proto::codec::type_url;
use proto::envoy::config::core::v3::Node as WireNode;
use proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use serve::Shutdown;
use serve::authenticate::{Authenticate, Credentials, Identity};
use serve::http::Peer;
use tokio::sync::watch;
use tonic::Status;
use tracing::{debug, info, warn};

use crate::metrics::Connected;
use crate::session::{Event, Output, Rejection, delta, sotw};
use crate::{Metrics, Node, Push, Resources, proxy};

/// Objects that are named in the log of a refusal, at most.
const SUSPECTS: usize = 20;

/// Who may open a stream.
#[derive(Clone)]
pub enum Access {
    /// Callers that prove who they are.
    Authenticated(Arc<dyn Authenticate>),
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
    /// Ends all streams.
    pub shutdown: Shutdown,
}

#[tonic::async_trait]
impl Discovery for Server {
    async fn stream(
        &self,
        caller: Caller,
        requests: Messages<DiscoveryRequest>,
    ) -> Result<Messages<DiscoveryResponse>, Status> {
        let identity = self.identify(&caller).await?;
        Ok(self.drive(caller, identity, requests, sotw::Session::new))
    }

    async fn delta(
        &self,
        caller: Caller,
        requests: Messages<DeltaDiscoveryRequest>,
    ) -> Result<Messages<DeltaDiscoveryResponse>, Status> {
        let identity = self.identify(&caller).await?;
        Ok(self.drive(caller, identity, requests, delta::Session::new))
    }
}

/// The two variants of the protocol, as the driver sees them.
trait Session: Send + 'static {
    type Request: Send + 'static;
    type Response: Send + 'static;
    fn on(&mut self, event: Event<Self::Request>) -> Vec<Output<Self::Response>>;
    fn node(request: &Self::Request) -> Option<&WireNode>;
    fn type_url(response: &Self::Response) -> &str;
}

impl Session for delta::Session {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;
    fn on(&mut self, event: Event<Self::Request>) -> Vec<Output<Self::Response>> {
        delta::Session::on(self, event)
    }
    fn node(request: &Self::Request) -> Option<&WireNode> {
        request.node.as_ref()
    }
    fn type_url(response: &Self::Response) -> &str {
        &response.type_url
    }
}

impl Session for sotw::Session {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;
    fn on(&mut self, event: Event<Self::Request>) -> Vec<Output<Self::Response>> {
        sotw::Session::on(self, event)
    }
    fn node(request: &Self::Request) -> Option<&WireNode> {
        request.node.as_ref()
    }
    fn type_url(response: &Self::Response) -> &str {
        &response.type_url
    }
}

/// One stream: what it holds, and what is ready to be sent.
struct Stream<S: Session> {
    server: Server,
    peer: String,
    identity: Option<Identity>,
    new_session: fn(String, Arc<Resources>) -> S,
    requests: Messages<S::Request>,
    outbox: VecDeque<S::Response>,
    open: Option<Open<S>>,
}

/// What exists once the first request said who is there.
struct Open<S> {
    session: S,
    /// What the proxy is to have; values that are not taken in are replaced by later ones.
    resources: watch::Receiver<Arc<Resources>>,
    node: Node,
    /// Dropped with the stream.
    _connected: Connected,
}

impl Server {
    async fn identify(&self, caller: &Caller) -> Result<Option<Identity>, Status> {
        let Access::Authenticated(authenticate) = &self.access else {
            return Ok(None);
        };
        let authorization = caller.metadata.get("authorization");
        let credentials = Credentials {
            authorization: authorization.and_then(|value| value.to_str().ok()),
        };
        match authenticate.authenticate(credentials).await {
            Ok(identity) => Ok(Some(identity)),
            Err(refusal) => {
                warn!(peer = peer_of(caller), reason = %refusal, "xDS stream refused");
                Err(refusal.status())
            }
        }
    }

    fn drive<S: Session>(
        &self,
        caller: Caller,
        identity: Option<Identity>,
        requests: Messages<S::Request>,
        new_session: fn(String, Arc<Resources>) -> S,
    ) -> Messages<S::Response> {
        let stream = Stream {
            server: self.clone(),
            peer: peer_of(&caller),
            identity,
            new_session,
            requests,
            outbox: VecDeque::new(),
            open: None,
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

    /// What a caller may be sent.
    fn visible(&self, resources: &Arc<Resources>, identity: Option<&Identity>) -> Arc<Resources> {
        if identity.is_some() || !resources.has(type_url::SECRET) {
            resources.clone()
        } else {
            Arc::new(resources.without(type_url::SECRET))
        }
    }
}

impl<S: Session> Stream<S> {
    /// The next response, `None` when the proxy is done.
    async fn next(&mut self) -> Result<Option<S::Response>, Status> {
        loop {
            if let Some(response) = self.outbox.pop_front() {
                self.server.metrics.pushed(S::type_url(&response));
                return Ok(Some(response));
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
                Some(resources) = changed(self.open.as_mut()) => {
                    Event::Resources(self.server.visible(&resources, self.identity.as_ref()))
                }
            };
            self.take_in(event).await?;
        }
    }

    async fn take_in(&mut self, event: Event<S::Request>) -> Result<(), Status> {
        if self.open.is_none() {
            let node = match &event {
                Event::Request(request) => S::node(request).cloned(),
                Event::Resources(_) => None,
            };
            let opened = self.admit(node.as_ref()).await?;
            self.open = Some(opened);
        }
        let open = self.open.as_mut().expect("opened above");
        let metrics = &self.server.metrics;
        for output in open.session.on(event) {
            match output {
                Output::Send(response) => self.outbox.push_back(response),
                Output::Rejected(rejection) => {
                    metrics.rejected(&rejection.type_url);
                    let suspects = suspects(&open.resources.borrow(), &rejection);
                    warn!(
                        node = open.node.id, %suspects, type_url = rejection.type_url, names = ?rejection.names,
                        "proxy refused its configuration and keeps what it had: {}", rejection.message
                    );
                }
                Output::Stale { type_url } => metrics.stale(&type_url),
            }
        }
        Ok(())
    }

    async fn admit(&mut self, wire: Option<&WireNode>) -> Result<Open<S>, Status> {
        let node =
            Node::parse(wire).map_err(|error| Status::invalid_argument(error.to_string()))?;
        if let Some(identity) = &self.identity
            && !node.is_proven_by(&identity.spiffe)
        {
            warn!(peer = self.peer, node = node.id, identity = %identity.spiffe,
                namespace = node.namespace, service_account = ?node.service_account,
                "xDS stream refused: the proxy claims a namespace or service account that is not its own");
            return Err(Status::permission_denied(
                "the node is not that of the caller",
            ));
        }
        let proxy = proxy::of_node(wire.unwrap_or(&WireNode::default()))
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
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
        let first = self.server.visible(&first, self.identity.as_ref());
        Ok(Open {
            session: (self.new_session)(self.server.control_plane.clone(), first),
            resources,
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

/// The next value of what an open stream's proxy is to have; never, before there is one.
async fn changed<S>(open: Option<&mut Open<S>>) -> Option<Arc<Resources>> {
    if let Some(open) = open
        && open.resources.changed().await.is_ok()
    {
        return Some(open.resources.borrow_and_update().clone());
    }
    std::future::pending().await
}

/// The objects of users that refused resources were made from.
fn suspects(resources: &Resources, rejection: &Rejection) -> String {
    let table = resources.table(&rejection.type_url);
    let refused = rejection.names.iter().filter_map(|name| table.get(name));
    let origins: BTreeSet<String> = refused
        .flat_map(|resource| &resource.origin)
        .map(ToString::to_string)
        .collect();
    // The others are in the proxy's own words or in the list of names.
    let shown: Vec<String> = origins.into_iter().take(SUSPECTS).collect();
    shown.join(", ")
}

fn peer_of(caller: &Caller) -> String {
    let peer = caller.extensions.get::<Peer>();
    peer.map_or_else(|| "unknown".to_owned(), |peer| peer.address.to_string())
}

#[cfg(test)]
mod tests;
