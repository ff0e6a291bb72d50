//! `pilot-agent wait`: returns when Envoy is ready, so that a hook may hold an application until then.

use std::process::ExitCode;
use std::time::Duration;

use http::{Method, Uri};

use crate::admin::{AdminError, Local};
use crate::arguments::{Arguments, InvalidFlag};

const READY: &str = "http://localhost:15021/healthz/ready";

/// Envoy did not become ready, or cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// A flag has a wrong value.
    #[error(transparent)]
    Flag(#[from] InvalidFlag),
    /// Not ready in time.
    #[error("envoy did not become ready within {limit:?}: {last}")]
    Timeout {
        /// `--timeoutSeconds`.
        limit: Duration,
        /// The last answer, or why there was none.
        last: AdminError,
    },
}

/// Asks again and again; the first time at once.
pub async fn run(arguments: &Arguments) -> Result<ExitCode, WaitError> {
    let limit = Duration::from_secs(arguments.number("timeoutSeconds")?.unwrap_or(60));
    let period = Duration::from_millis(arguments.number("periodMillis")?.unwrap_or(500));
    let patience = Duration::from_millis(arguments.number("requestTimeoutMillis")?.unwrap_or(500));
    let (local, path) = target(arguments.value("url").unwrap_or(READY))?;

    let deadline = tokio::time::Instant::now() + limit;
    tracing::info!("waiting for envoy to be ready, at most {limit:?}");
    loop {
        match local.text(Method::GET, &path, patience).await {
            Ok(_) => {
                tracing::info!("envoy is ready");
                return Ok(ExitCode::SUCCESS);
            }
            Err(last) if tokio::time::Instant::now() + period >= deadline => {
                return Err(WaitError::Timeout { limit, last });
            }
            Err(error) => tracing::debug!("not ready yet: {error}"),
        }
        tokio::time::sleep(period).await;
    }
}

fn target(url: &str) -> Result<(Local, String), InvalidFlag> {
    let invalid = || InvalidFlag {
        flag: "url".to_owned(),
        value: url.to_owned(),
        expected: "a URL like http://localhost:15021/healthz/ready",
    };
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(host)) => Ok((
            Local {
                host: host.trim_matches(['[', ']']).to_owned(),
                port: uri.port_u16().unwrap_or(80),
            },
            uri.path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string),
        )),
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn urls_name_host_port_and_path() {
        let (local, path) = target("http://[::1]:15021/healthz/ready?x=1").expect("a URL");
        assert_eq!((local.host.as_str(), local.port), ("::1", 15021));
        assert_eq!(path, "/healthz/ready?x=1");
    }

    #[test]
    fn other_schemes_are_refused() {
        for url in ["https://localhost/", "localhost:15021", "/healthz"] {
            assert!(target(url).is_err(), "{url}");
        }
    }
}
