//! The secret discovery service at the socket where Envoy expects it. What it serves is a value that `workload_cert`
//! keeps; a stream without an answer yet waits for it, so Envoy gets its certificate the moment there is one.
//! Secrets from files are read here, since each is one stream's own.

mod session;

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::file_secret;
use crate::grpc::{self, Code, status};
use crate::listener::{self, Limits};
use crate::secret::Secrets;
pub use session::{Dialect, Session};

/// Where Envoy's bootstrap says the service is.
pub const SOCKET: &str = "./var/run/secrets/workload-spiffe-uds/socket";

/// How often files are looked at. The kubelet takes a minute to write a changed file.
const LOOK: Duration = Duration::from_secs(10);
/// Envoy has one connection; further ones wait to be accepted until one has ended.
const MOST_CONNECTIONS: usize = 8;
/// Envoy opens one stream for each secret.
const LIMITS: Limits = Limits {
    streams: 128,
    window: 64 * 1024,
};

/// Listens at `path`, unless another program answers there already: an identity provider of the node, which then
/// serves Envoy in our place.
pub fn listen(path: &Path) -> io::Result<Option<UnixListener>> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Ok(None);
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    listener::at(path).map(Some)
}

/// Serves until it is dropped.
pub async fn serve(listener: UnixListener, secrets: watch::Receiver<Arc<Secrets>>) -> Infallible {
    listener::serve(listener, MOST_CONNECTIONS, "Envoy, for secrets", |stream| {
        let secrets = secrets.clone();
        listener::http2(stream, LIMITS, "Envoy, for secrets", move |request| {
            std::future::ready(answer(request, secrets.clone()))
        })
    })
    .await
}

fn answer(
    request: Request<Incoming>,
    secrets: watch::Receiver<Arc<Secrets>>,
) -> Response<Responses> {
    let dialect = match request.uri().path() {
        "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets" => Dialect::StateOfTheWorld,
        "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets" => Dialect::Delta,
        other => {
            let mut refusal = Response::new(Responses::none());
            let reason = format!("{other} is not served here");
            *refusal.headers_mut() = status(Code::Unimplemented, &reason);
            return typed(refusal);
        }
    };
    // One response may wait for Envoy; the next is made when it was taken.
    let (sender, frames) = mpsc::channel(1);
    let mut driver = JoinSet::new();
    driver.spawn(drive(
        Session::new(dialect),
        request.into_body(),
        secrets,
        sender,
    ));
    typed(Response::new(Responses {
        frames: Some(frames),
        _driver: driver,
    }))
}

fn typed(mut response: Response<Responses>) -> Response<Responses> {
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, grpc::CONTENT_TYPE);
    response
}

/// Runs one stream until either side ends it.
async fn drive(
    mut session: Session,
    mut requests: Incoming,
    mut secrets: watch::Receiver<Arc<Secrets>>,
    responses: mpsc::Sender<Frame<Bytes>>,
) {
    let mut messages = grpc::Messages::default();
    let mut unreadable = String::new();
    let end: HeaderMap = loop {
        let has_files = look(&mut session, &mut unreadable);
        let now = secrets.borrow_and_update().clone();
        if let Some(response) = session.next(&now) {
            let frame = Frame::data(grpc::framed(&response));
            if responses.send(frame).await.is_err() {
                return;
            }
        }
        let frame = tokio::select! {
            frame = requests.frame() => frame,
            Ok(()) = secrets.changed() => continue,
            () = tokio::time::sleep(LOOK), if has_files => continue,
        };
        match frame {
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else {
                    continue;
                };
                messages.push(data);
                if let Err(reason) = take(&mut messages, &mut session) {
                    tracing::warn!("a stream of secrets ends: {reason}");
                    break status(Code::InvalidArgument, &reason);
                }
            }
            Some(Err(_)) => return,
            None => break status(Code::Ok, ""),
        }
    };
    // Envoy may be gone.
    let _ = responses.send(Frame::trailers(end)).await;
}

/// Reads the files that secrets of the stream are made of, if any are. What cannot be read keeps what it was, and is
/// said once.
fn look(session: &mut Session, unreadable: &mut String) -> bool {
    let names: Vec<String> = session.of_files().map(str::to_owned).collect();
    let mut failures = Vec::new();
    for name in &names {
        match file_secret::read(name) {
            Ok(secret) => session.on_file(name.clone(), secret),
            Err(failure) => failures.push(failure),
        }
    }
    let failures = failures.join(", ");
    if !failures.is_empty() && failures != *unreadable {
        tracing::warn!("a secret waits for its files: {failures}");
    }
    *unreadable = failures;
    !names.is_empty()
}

fn take(messages: &mut grpc::Messages, session: &mut Session) -> Result<(), String> {
    while let Some(message) = messages.next().map_err(|error| error.to_string())? {
        session
            .on_request(&message)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What a stream answers, as its driver makes it.
struct Responses {
    frames: Option<mpsc::Receiver<Frame<Bytes>>>,
    /// Ends with the stream.
    _driver: JoinSet<()>,
}

impl Responses {
    fn none() -> Responses {
        Responses {
            frames: None,
            _driver: JoinSet::new(),
        }
    }
}

impl Body for Responses {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.frames {
            Some(frames) => frames.poll_recv(context).map(|frame| frame.map(Ok)),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_none()
    }
}
