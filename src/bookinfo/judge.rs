//! Role `judge`: decides about requests that proxies ask about, over HTTP and in Envoy's own protocol over gRPC.
//! Those with header `x-verdict: no` are refused.

mod check;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use serde_json::json;

use crate::collector::frames::Frames;
use crate::server::{self, Answer, Call, Options, Service};

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const GRPC: &str = "application/grpc";

struct Judge;

impl Service for Judge {
    async fn answer(&self, call: Call) -> Answer {
        let kind = call.headers.get(CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(GRPC.as_bytes())) {
            return over_grpc(&call);
        }
        let refuses = call.headers.get("x-verdict").is_some_and(|own| own == "no");
        let status = match refuses {
            true => StatusCode::FORBIDDEN,
            false => StatusCode::OK,
        };
        Answer::json(status, &json!({"refused": refuses, "path": call.path}))
    }
}

fn over_grpc(call: &Call) -> Answer {
    let mut frames = Frames::default();
    frames.push(&call.body);
    let verdict = match (call.path.as_str(), frames.whole()) {
        (CHECK, Some(message)) => check::verdict(&message).ok_or("3"),
        // Unimplemented.
        _ => Err("12"),
    };
    let (body, status) = match verdict {
        Ok(message) => {
            let length = u32::try_from(message.len()).unwrap_or_default();
            let mut body = vec![0];
            body.extend(length.to_be_bytes());
            body.extend(message);
            (body, "0")
        }
        Err(status) => (Vec::new(), status),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    Answer {
        trailers: Some(trailers),
        ..Answer::new(StatusCode::OK, GRPC, body)
    }
}

/// # Errors
/// When the port cannot be had.
pub async fn run(options: &Options) -> Result<(), String> {
    server::run(options, Judge).await
}
