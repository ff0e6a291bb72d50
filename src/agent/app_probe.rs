//! Probes and lifecycle calls of the kubelet, which injection leads to the agent: each is done to the application as
//! the pod's author wrote it. The kubelet itself has no certificate of the mesh, and a TCP probe of its own would
//! only ever find the proxy.

mod health_check;
mod http_get;
mod socket;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use serde_json::Value;

use crate::config::{self, InvalidConfig};

const PROBERS: &str = "ISTIO_KUBE_APP_PROBERS";
const LOCALHOST: &str = "REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION";
/// For what has no time of its own, which is lifecycle calls: the kubelet ends those.
const LONGEST: Duration = Duration::from_secs(60);

/// What is done for which path of the status port.
#[derive(Debug)]
pub struct AppProbes {
    probes: BTreeMap<String, Probe>,
    /// Where the application listens.
    application: IpAddr,
    /// Where the kubelet came to, which it says in its `host`.
    status_port: u16,
}

#[derive(Debug, PartialEq, Eq)]
struct Probe {
    action: Action,
    limit: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum Action {
    HttpGet(http_get::HttpGet),
    TcpSocket { port: u16 },
    Grpc { port: u16, service: String },
}

/// What the kubelet is told.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// 200 to 399 is success.
    pub status: StatusCode,
    /// The beginning of the application's answer, or the reason why there is none.
    pub body: Bytes,
}

impl Outcome {
    fn failed(reason: impl Into<Bytes>) -> Outcome {
        Outcome {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            body: reason.into(),
        }
    }
}

impl AppProbes {
    /// Reads the variables that injection wrote. Probes go to `pod`, as the kubelet's would.
    ///
    /// # Errors
    /// A probe that cannot be done: the pod would never get ready, and nobody would see why.
    pub fn new(
        environment: &BTreeMap<String, String>,
        pod: Option<IpAddr>,
        status_port: u16,
    ) -> Result<AppProbes, InvalidConfig> {
        let text = environment.get(PROBERS).map_or("", String::as_str);
        let probes = match text {
            "" => BTreeMap::new(),
            text => parse(text).ok_or_else(|| InvalidConfig::Value {
                name: PROBERS.to_owned(),
                value: text.to_owned(),
                expected: "an object of probes by path, each with one of httpGet, tcpSocket, grpc",
            })?,
        };
        let loopback = config::boolean(environment, LOCALHOST, false)?;
        Ok(AppProbes {
            probes,
            application: pod
                .filter(|_| !loopback)
                .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            status_port,
        })
    }

    /// Does what `request` stands for.
    pub async fn answer<B>(&self, request: &Request<B>) -> Outcome {
        let path = request.uri().path();
        let Some(probe) = self.probes.get(path) else {
            return Outcome {
                status: StatusCode::BAD_REQUEST,
                body: format!("no probe has the path {path}\n").into(),
            };
        };
        let done = self.perform(&probe.action, request.headers());
        let outcome = tokio::time::timeout(probe.limit, done)
            .await
            .unwrap_or_else(|_| {
                Outcome::failed(format!("it took longer than {:?}\n", probe.limit))
            });
        if outcome.status.is_client_error() || outcome.status.is_server_error() {
            tracing::debug!("probe {path}: {}", String::from_utf8_lossy(&outcome.body));
        }
        outcome
    }

    async fn perform(&self, action: &Action, headers: &HeaderMap) -> Outcome {
        let failed = |error: &dyn std::fmt::Display| Outcome::failed(format!("{error}\n"));
        match action {
            Action::HttpGet(get) => get
                .send(self.application, self.status_port, headers)
                .await
                .unwrap_or_else(|error| failed(&error)),
            Action::TcpSocket { port } => match socket::connect(self.application, *port).await {
                Ok(_) => Outcome {
                    status: StatusCode::OK,
                    body: Bytes::new(),
                },
                Err(error) => failed(&error),
            },
            Action::Grpc { port, service } => {
                match health_check::ask(self.application, *port, service, headers).await {
                    Ok(()) => Outcome {
                        status: StatusCode::OK,
                        body: Bytes::new(),
                    },
                    Err(error) => failed(&error),
                }
            }
        }
    }
}

/// Nothing when a probe is none. Fields as in the Kubernetes API, ports as numbers.
fn parse(text: &str) -> Option<BTreeMap<String, Probe>> {
    let Value::Object(probes) = serde_json::from_str(text).ok()? else {
        return None;
    };
    probes
        .into_iter()
        .map(|(path, probe)| {
            let probe = is_path(&path).then(|| read(&probe)).flatten()?;
            Some((path, probe))
        })
        .collect()
}

/// `/app-health/CONTAINER/…` and `/app-lifecycle/CONTAINER/…`, with the ends that injection gives them.
fn is_path(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(
        parts[..],
        [
            "",
            "app-health" | "app-lifecycle",
            container,
            "livez" | "readyz" | "startupz" | "prestopz" | "poststartz",
        ] if !container.is_empty()
    )
}

fn read(probe: &Value) -> Option<Probe> {
    let given = |kind: &str| probe.get(kind).filter(|action| !action.is_null());
    let port = |action: &Value| u16::try_from(action.get("port")?.as_u64()?).ok();
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => Some(String::new()),
        Some(value) => value.as_str().map(str::to_owned),
    };
    let action = match (given("httpGet"), given("tcpSocket"), given("grpc")) {
        (Some(get), None, None) => Action::HttpGet(http_get::HttpGet {
            path: text(get.get("path"))?,
            port: port(get)?,
            https: get.get("scheme").and_then(Value::as_str) == Some("HTTPS"),
        }),
        (None, Some(socket), None) => Action::TcpSocket {
            port: port(socket)?,
        },
        (None, None, Some(grpc)) => Action::Grpc {
            port: port(grpc)?,
            service: text(grpc.get("service"))?,
        },
        _ => return None,
    };
    let limit = match probe.get("timeoutSeconds").and_then(Value::as_u64) {
        None | Some(0) => LONGEST,
        Some(seconds) => Duration::from_secs(seconds),
    };
    Some(Probe { action, limit })
}

#[cfg(test)]
mod tests;
