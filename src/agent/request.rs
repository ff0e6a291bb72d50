//! `pilot-agent request METHOD PATH [BODY]`: makes a request to Envoy's admin port from within the
//! pod. Prints the answer's body and nothing else, since programs read it.

use std::io::{self, Write};
use std::process::ExitCode;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;

use crate::admin::{AdminError, Local};
use crate::arguments::{Arguments, InvalidFlag};

/// Upstream's list: Envoy's admin port, the agent, Envoy's readiness, and the debug port.
const ALLOWED_PORTS: [u16; 4] = [15000, 15020, 15021, 15004];

/// The request cannot be made, or was not answered well.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A flag has a wrong value.
    #[error(transparent)]
    Flag(#[from] InvalidFlag),
    /// Too few arguments, or a method that is none.
    #[error("expected: request METHOD PATH [BODY]")]
    Usage,
    /// Another port than those of the proxy.
    #[error("port {0} is not one of 15000, 15004, 15020 and 15021")]
    Port(u16),
    /// No answer.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// It broke off.
    #[error("the answer broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// An answer that says no.
    #[error("received status {0}")]
    Status(StatusCode),
    /// Standard output.
    #[error("cannot print the answer: {0}")]
    Output(#[from] io::Error),
}

/// Makes the request; the body is passed on as it comes.
pub async fn run(arguments: &Arguments) -> Result<ExitCode, RequestError> {
    let (method, path, body) = match &arguments.positional[..] {
        [_, method, path] => (method, path, ""),
        [_, method, path, body, ..] => (method, path, body.as_str()),
        _ => return Err(RequestError::Usage),
    };
    let method =
        Method::from_bytes(method.to_uppercase().as_bytes()).map_err(|_| RequestError::Usage)?;
    let port = arguments.number("debug-port")?.unwrap_or(15000);
    if !ALLOWED_PORTS.contains(&port) {
        return Err(RequestError::Port(port));
    }
    // Upstream writes paths without the first slash.
    let path = format!("/{}", path.trim_start_matches('/'));
    let mut answer = Local::port(port)
        .send(method, &path, Bytes::copy_from_slice(body.as_bytes()))
        .await?;
    let mut output = io::stdout().lock();
    while let Some(frame) = answer.response.frame().await {
        if let Ok(data) = frame?.into_data() {
            output.write_all(&data)?;
        }
    }
    output.flush()?;
    match answer.response.status() {
        status if status.is_client_error() || status.is_server_error() => {
            Err(RequestError::Status(status))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
