//! Role `collector`: takes access logs and spans in the protocols of those who collect them (Envoy's access log
//! service, OpenTelemetry over gRPC and HTTP, Zipkin) and prints each as one line of JSON.

pub mod frames;
mod records;

use std::convert::Infallible;

use bytes::Bytes;
use clap::Args;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::{server, shutdown};
use frames::Frames;

const BODY_LIMIT: usize = 16 << 20;

/// Arguments of `collector`.
#[derive(Args)]
pub struct Options {
    /// Port to serve on, all protocols alike
    #[arg(long, env = "HTTP_PORT", default_value_t = 8080)]
    port: u16,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// # Errors
/// When the port cannot be had.
pub async fn run(options: Options) -> Result<(), String> {
    let mut stop = std::pin::pin!(shutdown::signal()?);
    let listener = server::listen(options.port)?;
    println!("serving on port {}", options.port);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => return Ok(()),
        };
        match accepted {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream))),
            Err(error) => return Err(format!("accept: {error}")),
        }
    }
}

async fn connection(stream: TcpStream) {
    let respond = service_fn(|request| async { Ok::<_, Infallible>(respond(request).await) });
    let builder = auto::Builder::new(TokioExecutor::new());
    // A connection that breaks is the other side's to tell about.
    let _ = builder
        .serve_connection(TokioIo::new(stream), respond)
        .await;
}

async fn respond(request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let is_grpc = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    match (is_grpc, path.as_str()) {
        (true, path) => grpc(path, request.into_body()).await,
        (false, "/v1/traces") => posted(request.into_body(), records::spans).await,
        (false, "/v1/logs") => posted(request.into_body(), records::logs).await,
        (false, "/api/v2/spans") => posted(request.into_body(), records::zipkin).await,
        (false, "/health") => plain(StatusCode::OK, "healthy\n"),
        (false, _) => plain(StatusCode::NOT_FOUND, "there is nothing\n"),
    }
}

/// Every message as it comes: a stream of access logs has no end.
async fn grpc(path: &str, mut body: Incoming) -> Answer {
    let read: fn(&[u8]) -> Result<Vec<Value>, String> = match path {
        "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs" => records::access_logs,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => records::logs,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => records::spans,
        // Unimplemented.
        _ => return ended("12"),
    };
    let mut frames = Frames::default();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        frames.push(&data);
        while let Some(message) = frames.whole() {
            print(read(&message));
        }
    }
    ended("0")
}

async fn posted(body: Incoming, read: fn(&[u8]) -> Result<Vec<Value>, String>) -> Answer {
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => {
            print(read(&body.to_bytes()));
            plain(StatusCode::ACCEPTED, "")
        }
        Err(error) => plain(StatusCode::BAD_REQUEST, &format!("{error}\n")),
    }
}

fn print(records: Result<Vec<Value>, String>) {
    match records {
        Ok(records) => records.iter().for_each(|record| println!("{record}")),
        Err(error) => println!("unreadable: {error}"),
    }
}

fn plain(status: StatusCode, text: &str) -> Answer {
    let body = Full::new(Bytes::copy_from_slice(text.as_bytes()));
    let mut response = Response::new(body.boxed());
    *response.status_mut() = status;
    response
}

/// One empty message, and how the call ended.
fn ended(status: &'static str) -> Answer {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    let body = Full::new(Bytes::from_static(&[0; 5]));
    let body = body.with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
