//! The API server as one client of it sees it, on an address of this machine: requests go on under the identity of the
//! operator, writes are counted, and at one of them nothing gets through any more. Leases and dry runs do not count: the
//! ones come by the clock, the others change nothing.

use std::fmt;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{self, Body};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Largest request that is passed on.
const LARGEST: usize = 16 << 20;

/// Where everything ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The n-th write, counted from 1, does not reach the API server any more.
    Before(usize),
    /// It does, and its answer does not come back.
    After(usize),
}

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Before(number) => write!(formatter, "before write {number}"),
            Cut::After(number) => write!(formatter, "after write {number}"),
        }
    }
}

/// Stands in front of the API server until it is dropped.
pub struct Intercept {
    address: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    client: Client,
    identity: HeaderMap,
    writes: Mutex<Vec<String>>,
    cut: Mutex<Option<Cut>>,
    /// Whether the cut was reached.
    ended: watch::Sender<bool>,
}

/// What becomes of a request.
enum Fate {
    Passes,
    Vanishes,
    PassesUnanswered,
}

impl Intercept {
    /// Passes requests on through `client`, whose user has to be allowed to speak for `user`.
    pub async fn begin(client: &Client, (user, groups): &(String, [String; 3])) -> Intercept {
        let value = |text: &String| HeaderValue::from_str(text).expect("a name of Kubernetes");
        let mut identity = HeaderMap::new();
        identity.insert("impersonate-user", value(user));
        for group in groups {
            identity.append("impersonate-group", value(group));
        }
        let shared = Arc::new(Shared {
            client: client.clone(),
            identity,
            writes: Mutex::default(),
            cut: Mutex::default(),
            ended: watch::Sender::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a bound port").to_string();
        let router = Router::new().fallback(pass).with_state(shared.clone());
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("the way to the API server ended: {error}");
            }
        });
        Intercept {
            address,
            shared,
            serving,
        }
    }

    /// `host:port`, for plain HTTP.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Counts from now on, up to `cut` when there is one, and lets everything through until then.
    pub fn count(&self, cut: Option<Cut>) {
        self.shared.writes.lock().expect("nothing panics").clear();
        *self.shared.cut.lock().expect("nothing panics") = cut;
        self.shared.ended.send_replace(false);
    }

    /// `METHOD path` of each write since [`Intercept::count`].
    pub fn writes(&self) -> Vec<String> {
        self.shared.writes.lock().expect("nothing panics").clone()
    }

    /// Waits until nothing gets through any more.
    pub async fn ended(&self) {
        let mut ended = self.shared.ended.subscribe();
        let waiting = ended.wait_for(|&ended| ended).await;
        waiting.expect("the sender lives as long as this");
    }
}

impl Drop for Intercept {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn judge(&self, request: &Parts) -> Fate {
        // One decision at a time: the lock is held to its end.
        let mut writes = self.writes.lock().expect("nothing panics");
        if *self.ended.borrow() {
            return Fate::Vanishes;
        }
        if !is_write(request) {
            return Fate::Passes;
        }
        writes.push(format!("{} {}", request.method, request.uri.path()));
        let number = writes.len();
        match *self.cut.lock().expect("nothing panics") {
            Some(Cut::Before(last)) if number == last => {
                self.ended.send_replace(true);
                Fate::Vanishes
            }
            Some(Cut::After(last)) if number == last => Fate::PassesUnanswered,
            _ => Fate::Passes,
        }
    }
}

fn is_write(request: &Parts) -> bool {
    let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let path = request.uri.path();
    // Reviews ask, though by a POST.
    let asks = ["/tokenreviews", "/subjectaccessreviews"];
    writes.contains(&request.method)
        && !path.contains("/leases")
        && !asks.iter().any(|end| path.ends_with(end))
        && !request.uri.query().unwrap_or_default().contains("dryRun=")
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let fate = shared.judge(&parts);
    if matches!(fate, Fate::Vanishes) {
        return std::future::pending().await;
    }
    let Ok(body) = body::to_bytes(body, LARGEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    parts.headers.remove(header::HOST);
    parts.headers.extend(shared.identity.clone());
    let request = Request::from_parts(parts, kube::client::Body::from(body));
    let answer = shared.client.send(request).await;
    if matches!(fate, Fate::PassesUnanswered) {
        shared.ended.send_replace(true);
        return std::future::pending().await;
    }
    match answer {
        Ok(answer) => {
            let mut answer = answer.map(Body::new);
            // How the body is framed is decided anew.
            answer.headers_mut().remove(header::TRANSFER_ENCODING);
            answer
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
