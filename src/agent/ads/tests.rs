//! The relay between two HTTP/2 ends in this process: what passes, and how each failure ends.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::{
    Arc, Body, Bytes, Context, ControlPlane, Frame, HeaderMap, Incoming, JoinSet, METHODS, Metrics,
    Pin, Poll, Request, Response, listener, serve,
};
use bootstrap::AuthPolicy;

/// Longer than anything here takes, so that a failure is a message and not a hang.
const DEADLINE: Duration = Duration::from_secs(20);

type Frames = mpsc::Receiver<Result<Frame<Bytes>, String>>;

/// A body that a test writes frame by frame; `ended` learns that nobody wants more.
struct Written {
    frames: Frames,
    taken: Arc<AtomicUsize>,
    _ended: Option<oneshot::Sender<()>>,
}

impl Body for Written {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        let frame = std::task::ready!(self.frames.poll_recv(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.taken.fetch_add(data.len(), Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }
}

/// The control plane's end of one stream.
struct Stream {
    head: http::request::Parts,
    requests: Incoming,
    responses: mpsc::Sender<Result<Frame<Bytes>, String>>,
    /// Bytes of responses that have left the control plane's hands.
    taken: Arc<AtomicUsize>,
    ended: oneshot::Receiver<()>,
}

struct World {
    envoy: SendRequest<Written>,
    control_plane: mpsc::Receiver<Stream>,
    metrics: Arc<Metrics>,
    folder: PathBuf,
    _tasks: JoinSet<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Envoy's end, the relay, and a control plane that hands its streams to the test. With
/// `security` TLS the relay never gets that far: there is no token.
async fn world(name: &str, security: AuthPolicy, listening: bool) -> World {
    let mut tasks = JoinSet::new();
    let (streams, control_plane) = mpsc::channel(4);
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = tcp.local_addr().expect("bound").to_string();
    if listening {
        tasks.spawn(accept(tcp, streams));
    } else {
        drop(tcp);
    }

    let folder = std::env::temp_dir().join(format!("agent-ads-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let socket = folder.join("XDS");
    let metrics = Arc::new(Metrics::default());
    let upstream = Arc::new(ControlPlane {
        address,
        name: "istiod.istio-system.svc".to_owned(),
        security,
        root_cert: PathBuf::from("/nonexistent/root-cert.pem"),
        token: PathBuf::from("/nonexistent/istio-token"),
        own: None,
        headers: HeaderMap::new(),
    });
    let listener = listener::at(&socket).expect("a socket");
    let counted = metrics.clone();
    tasks.spawn(async move {
        serve(listener, upstream, counted).await;
    });

    let stream = UnixStream::connect(&socket).await.expect("it listens");
    let (envoy, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tasks.spawn(async move {
        let _ = connection.await;
    });
    World {
        envoy,
        control_plane,
        metrics,
        folder,
        _tasks: tasks,
    }
}

async fn accept(tcp: TcpListener, streams: mpsc::Sender<Stream>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = tcp.accept().await {
        let streams = streams.clone();
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let streams = streams.clone();
                async move {
                    let (head, requests) = request.into_parts();
                    let (responses, body, taken, ended) = written();
                    let stream = Stream {
                        head,
                        requests,
                        responses,
                        taken,
                        ended,
                    };
                    streams.send(stream).await.map_err(|_| "the test ended")?;
                    Ok::<_, &str>(Response::new(body))
                }
            });
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

type Writer = mpsc::Sender<Result<Frame<Bytes>, String>>;

fn written() -> (Writer, Written, Arc<AtomicUsize>, oneshot::Receiver<()>) {
    let (writer, frames) = mpsc::channel(1);
    let (signal, ended) = oneshot::channel();
    let taken = Arc::new(AtomicUsize::new(0));
    let body = Written {
        frames,
        taken: taken.clone(),
        _ended: Some(signal),
    };
    (writer, body, taken, ended)
}

fn request(path: &str) -> (Writer, Request<Written>) {
    let (writer, body, ..) = written();
    let request = Request::post(format!("http://xds-grpc{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-request-id", "of Envoy's hop")
        .body(body)
        .expect("a request");
    (writer, request)
}

fn data(text: &'static str) -> Result<Frame<Bytes>, String> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("it comes before the deadline")
}

/// What Envoy reads until the end: data, and the gRPC status in trailers.
async fn rest(mut response: Response<Incoming>) -> (Vec<u8>, HeaderMap) {
    let (mut bytes, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = within(response.frame()).await {
        match frame.expect("no reset").into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().expect("trailers"),
        }
    }
    (bytes, trailers)
}

#[tokio::test]
async fn bytes_and_status_pass_untouched_in_both_directions() {
    for (index, method) in METHODS.into_iter().enumerate() {
        let name = format!("pass{index}");
        let mut world = world(&name, AuthPolicy::None, true).await;
        let (writer, request) = request(method);
        let sent = tokio::spawn(world.envoy.send_request(request));
        writer.send(data("\0\0\0\0\u{5}hello")).await.expect("open");
        let mut stream = within(world.control_plane.recv()).await.expect("a stream");
        assert_eq!(stream.head.uri.path(), method);
        assert_eq!(stream.head.headers["te"], "trailers");
        assert!(!stream.head.headers.contains_key("x-request-id"));
        let frame = within(stream.requests.frame()).await.expect("a frame");
        let bytes = frame.expect("no reset").into_data().expect("data");
        assert_eq!(&bytes[..], b"\0\0\0\0\x05hello");

        stream.responses.send(data("answer")).await.expect("open");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "7".parse().expect("a value"));
        let end = Ok(Frame::trailers(trailers));
        stream.responses.send(end).await.expect("open");
        drop(stream.responses);
        let response = within(sent).await.expect("no panic").expect("a response");
        let (bytes, trailers) = rest(response).await;
        assert_eq!(bytes, b"answer");
        assert_eq!(trailers["grpc-status"], "7");
    }
}

#[tokio::test]
async fn without_a_control_plane_the_stream_ends_unavailable() {
    let mut world = world("absent", AuthPolicy::None, false).await;
    let (_writer, request) = request(METHODS[0]);
    let response = within(world.envoy.send_request(request))
        .await
        .expect("a response");
    assert_eq!(response.headers()["grpc-status"], "14");
    let message = response.headers()["grpc-message"].to_str().expect("ASCII");
    assert!(
        message.starts_with("cannot connect to 127.0.0.1:"),
        "{message}"
    );
    let text = world.metrics.text();
    assert!(
        text.contains("istio_agent_istiod_connection_failures 1"),
        "{text}"
    );
}

#[tokio::test]
async fn without_a_token_the_stream_ends_unauthenticated() {
    let mut world = world("token", AuthPolicy::MutualTls, true).await;
    let (_writer, request) = request(METHODS[0]);
    let response = within(world.envoy.send_request(request))
        .await
        .expect("a response");
    assert_eq!(response.headers()["grpc-status"], "16");
}

#[tokio::test]
async fn other_services_are_unimplemented() {
    let mut world = world("other", AuthPolicy::None, true).await;
    let (_writer, request) =
        request("/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets");
    let response = within(world.envoy.send_request(request))
        .await
        .expect("a response");
    assert_eq!(response.headers()["grpc-status"], "12");
}

#[tokio::test]
async fn a_broken_stream_ends_unavailable_and_not_in_a_reset() {
    let mut world = world("broken", AuthPolicy::None, true).await;
    let (_writer, request) = request(METHODS[0]);
    let sent = tokio::spawn(world.envoy.send_request(request));
    let stream = within(world.control_plane.recv()).await.expect("a stream");
    stream.responses.send(data("half")).await.expect("open");
    let response = within(sent).await.expect("no panic").expect("a response");
    stream
        .responses
        .send(Err("broken".into()))
        .await
        .expect("open");
    let (bytes, trailers) = rest(response).await;
    assert_eq!(bytes, b"half");
    assert_eq!(trailers["grpc-status"], "14");
    let text = world.metrics.text();
    assert!(
        text.contains("istio_agent_istiod_connection_terminations 1"),
        "{text}"
    );
}

#[tokio::test]
async fn when_envoy_leaves_the_control_plane_learns_it() {
    let mut world = world("leave", AuthPolicy::None, true).await;
    let (writer, request) = request(METHODS[0]);
    let sent = tokio::spawn(world.envoy.send_request(request));
    let stream = within(world.control_plane.recv()).await.expect("a stream");
    stream.responses.send(data("answer")).await.expect("open");
    drop(within(sent).await.expect("no panic").expect("a response"));
    drop(writer);
    within(stream.ended)
        .await
        .expect_err("its body was dropped");
}

/// The reader's pace is the writer's: little waits in between, whatever the writer has.
#[tokio::test]
async fn a_reader_that_stops_stops_the_writer() {
    const CHUNK: &[u8] = &[0; 16 * 1024];
    const BOUND: usize = 4 * 1024 * 1024;
    let mut world = world("slow", AuthPolicy::None, true).await;
    let (_writer, request) = request(METHODS[0]);
    let sent = tokio::spawn(world.envoy.send_request(request));
    let stream = within(world.control_plane.recv()).await.expect("a stream");
    let flood = async {
        while stream.taken.load(Ordering::Relaxed) < BOUND {
            let chunk = Ok(Frame::data(Bytes::from_static(CHUNK)));
            stream.responses.send(chunk).await.expect("open");
        }
    };
    tokio::time::timeout(Duration::from_secs(2), flood)
        .await
        .expect_err("the writer waits for its reader");
    // And it goes on when the reader does.
    let before = stream.taken.load(Ordering::Relaxed);
    let mut response = within(sent).await.expect("no panic").expect("a response");
    let mut read = 0;
    let go_on = async {
        let chunk = || Ok(Frame::data(Bytes::from_static(CHUNK)));
        while stream.taken.load(Ordering::Relaxed) < before + BOUND {
            tokio::select! {
                _ = stream.responses.send(chunk()) => {}
                Some(Ok(frame)) = response.frame() => {
                    read += frame.into_data().expect("data").len();
                }
            }
        }
    };
    within(go_on).await;
    assert!(read > BOUND / 2, "{read}");
}
