//! The endpoints over HTTP, below `/debug`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::extract::{Path, Query, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serve::authenticate::Credentials;
use serve::http::Peer;
use tracing::warn;

use super::access::{self, Access};
use super::endpoints::{self, ENDPOINTS};
use super::{Answer, Debug, Question, written};

/// Filled once there is something to tell: ports are served before.
pub type Late = Arc<OnceLock<Debug>>;

/// `/debug` and everything below it; refused with 503 until `debug` is filled.
pub fn router(debug: Late) -> Router {
    Router::new()
        .route("/debug", get(index))
        .route("/debug/{endpoint}", get(ask))
        .route("/debug/pprof", get(profile))
        .route("/debug/pprof/{*which}", get(profile))
        .with_state(debug)
}

async fn index() -> Html<String> {
    let rows = ENDPOINTS.iter().map(|endpoint| {
        let (name, help) = (endpoint.name, endpoint.help);
        format!("<tr><td><a href=\"/debug/{name}\">/debug/{name}</a></td><td>{help}</td></tr>\n")
    });
    Html(format!(
        "<!doctype html>\n<title>Debug endpoints</title>\n<p>Add <b>?pretty</b> for indented JSON.</p>\n\
         <table>\n{}</table>\n",
        rows.collect::<String>()
    ))
}

/// Profiles of Go's runtime, which tools ask for.
async fn profile() -> Response {
    let words = "this is no Go program: perf or a similar tool of the system profiles it, /metrics counts\n";
    (StatusCode::NOT_FOUND, words).into_response()
}

async fn ask(
    State(late): State<Late>,
    Path(path): Path<String>,
    Query(parameters): Query<BTreeMap<String, String>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    let Some(debug) = late.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "not started yet\n").into_response();
    };
    let peer = peer.map(|Extension(peer)| peer);
    let confined = match admitted(debug, peer.as_ref(), &path, &headers).await {
        Ok(confined) => confined,
        Err(status) => return status.into_response(),
    };
    let pretty = parameters.contains_key("pretty");
    let question = Question {
        path,
        parameters,
        confined,
    };
    match endpoints::answer(debug, &question) {
        Some(Answer::Json(value)) => {
            let text = match pretty {
                true => serde_json::to_string_pretty(&value),
                false => serde_json::to_string(&value),
            };
            json(text.expect("a JSON value prints"))
        }
        Some(Answer::Listed(texts)) => json(match pretty {
            true => written::indented(&texts),
            false => written::joined(&texts),
        }),
        Some(Answer::Refused(status, why)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, why).into_response()
        }
        None => (
            StatusCode::NOT_FOUND,
            "no such endpoint, /debug lists them\n",
        )
            .into_response(),
    }
}

fn json(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// The namespace that a caller is confined to, `None` when it may ask anything.
async fn admitted(
    debug: &Debug,
    peer: Option<&Peer>,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<String>, StatusCode> {
    if peer.is_some_and(|peer| access::is_local(peer.address.ip())) {
        return Ok(None);
    }
    let Some(authenticate) = &debug.authenticate else {
        return Err(StatusCode::UNAUTHORIZED);
    };
    let credentials = Credentials {
        authorization: headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok()),
        ..Credentials::default()
    };
    let identity = authenticate
        .authenticate(credentials)
        .await
        .map_err(|refusal| {
            warn!(?peer, path, reason = %refusal, "debug request refused");
            StatusCode::UNAUTHORIZED
        })?;
    match access::of_namespace(debug, &identity.spiffe.namespace, path) {
        Access::All => Ok(None),
        Access::Namespace(namespace) => Ok(Some(namespace)),
        Access::Denied => {
            warn!(identity = %identity.spiffe, path, "debug request refused: not of the system namespace");
            Err(StatusCode::FORBIDDEN)
        }
    }
}

#[cfg(test)]
mod tests;
