//! Telling and hearing against an API server of our own making.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::client::Body;
use kube::runtime::watcher::Event;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use serve::Shutdown;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tower_test::mock::{self, Handle};

use super::{Heard, Replica, config_map, share, tell};
use crate::{Access, Metrics};

type Server = Handle<Request<Body>, Response<Body>>;

const MAPS: &str = "/api/v1/namespaces/istio-system/configmaps";
const OURS: &str = "/api/v1/namespaces/istio-system/configmaps/istio-refusals-istiod-b";
const POD: &str = "/api/v1/namespaces/istio-system/pods/istiod-b";
/// Longer than every pause; time is the test's own.
const SOON: Duration = Duration::from_secs(3600);

struct Teller {
    server: Server,
    leads: watch::Sender<bool>,
    own: watch::Sender<Arc<str>>,
    lost: Arc<Notify>,
}

fn replica() -> Replica {
    Replica {
        namespace: "istio-system".to_owned(),
        pod: "istiod-b".to_owned(),
    }
}

fn access() -> (Server, watch::Sender<bool>, Access) {
    let (service, server) = mock::pair::<Request<Body>, Response<Body>>();
    let (leads, leadership) = watch::channel(false);
    let access = Access {
        client: Client::new(service, "default"),
        leadership,
        metrics: Metrics::register(&mut Registry::default()),
    };
    (server, leads, access)
}

fn start(text: &str) -> Teller {
    let (server, leads, access) = access();
    let (own, view) = watch::channel(text.into());
    let lost = Arc::new(Notify::new());
    let loss = lost.clone();
    tokio::spawn(async move { tell(&access, &replica(), view, &loss).await });
    Teller {
        server,
        leads,
        own,
        lost,
    }
}

/// The next request's method, path and body; answered.
async fn asked(server: &mut Server, status: StatusCode, body: &Value) -> (Method, String, Value) {
    let next = timeout(SOON, server.next_request()).await;
    let (request, answer) = next.expect("in time").expect("a request");
    let (head, sent) = request.into_parts();
    let sent = sent.collect_bytes().await.expect("a body");
    let mut response = Response::new(Body::from(body.to_string().into_bytes()));
    *response.status_mut() = status;
    answer.send_response(response);
    let sent = serde_json::from_slice(&sent).unwrap_or_default();
    (head.method, head.uri.path().to_owned(), sent)
}

fn refusal(code: StatusCode) -> Value {
    let reason = match code {
        StatusCode::NOT_FOUND => "NotFound",
        _ => "Any",
    };
    json!({"kind": "Status", "status": "Failure", "message": "no", "reason": reason, "code": code.as_u16()})
}

/// As it is stored.
fn stored(text: &str) -> Value {
    let mut map = config_map(&replica(), "u1", text);
    map.metadata.resource_version = Some("9".to_owned());
    serde_json::to_value(map).expect("a ConfigMap")
}

impl Teller {
    /// One request that is as expected; its body.
    async fn asks(
        &mut self,
        method: Method,
        path: &str,
        answer: Result<Value, StatusCode>,
    ) -> Value {
        let (status, body) = match answer {
            Ok(body) => (StatusCode::OK, body),
            Err(code) => (code, refusal(code)),
        };
        let found = asked(&mut self.server, status, &body).await;
        assert_eq!((&found.0, &*found.1), (&method, path));
        found.2
    }

    async fn asks_for_the_pod(&mut self) {
        let pod = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "istiod-b", "namespace": "istio-system", "uid": "u1"}});
        self.asks(Method::GET, POD, Ok(pod)).await;
    }

    /// Nothing is asked for an hour.
    async fn rests(&mut self) {
        let quiet = timeout(SOON, self.server.next_request()).await;
        assert!(quiet.is_err(), "an unexpected request");
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_is_written_once_and_belongs_to_the_pod() {
    let mut teller = start("[1]");
    teller
        .asks(Method::GET, OURS, Err(StatusCode::NOT_FOUND))
        .await;
    teller.asks_for_the_pod().await;
    let body = teller.asks(Method::POST, MAPS, Ok(stored("[1]"))).await;
    assert_eq!(body["data"], json!({"refusals.json": "[1]"}));
    let metadata = &body["metadata"];
    assert_eq!(metadata["labels"], json!({"istio.io/report": "refusals"}));
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "istiod-b", "uid": "u1"}]);
    assert_eq!(metadata["ownerReferences"], owner);
    teller.rests().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_there_already_is_not_written() {
    let mut teller = start("[1]");
    teller.asks(Method::GET, OURS, Ok(stored("[1]"))).await;
    teller.asks_for_the_pod().await;
    teller.rests().await;
}

#[tokio::test(start_paused = true)]
async fn other_words_replace_what_is_stored_and_silence_deletes_it() {
    let mut teller = start("[1]");
    teller.asks(Method::GET, OURS, Ok(stored("[1]"))).await;
    teller.asks_for_the_pod().await;
    teller.own.send_replace("[2]".into());
    teller.asks(Method::GET, OURS, Ok(stored("[1]"))).await;
    teller.asks_for_the_pod().await;
    let body = teller.asks(Method::PUT, OURS, Ok(stored("[2]"))).await;
    assert_eq!(body["metadata"]["resourceVersion"], "9");
    assert_eq!(body["data"]["refusals.json"], "[2]");
    teller.own.send_replace("".into());
    teller.asks(Method::GET, OURS, Ok(stored("[2]"))).await;
    teller.asks(Method::DELETE, OURS, Ok(stored("[2]"))).await;
    teller.rests().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_somebody_deletes_is_written_again() {
    let mut teller = start("[1]");
    teller.asks(Method::GET, OURS, Ok(stored("[1]"))).await;
    teller.asks_for_the_pod().await;
    teller.lost.notify_one();
    teller
        .asks(Method::GET, OURS, Err(StatusCode::NOT_FOUND))
        .await;
    teller.asks_for_the_pod().await;
    teller.asks(Method::POST, MAPS, Ok(stored("[1]"))).await;
    // One that was deleted here is not missed.
    teller.own.send_replace("".into());
    teller.asks(Method::GET, OURS, Ok(stored("[1]"))).await;
    teller.asks(Method::DELETE, OURS, Ok(stored("[1]"))).await;
    teller.lost.notify_one();
    teller.rests().await;
}

#[tokio::test(start_paused = true)]
async fn who_leads_keeps_no_report() {
    let mut teller = start("");
    // What another process of this pod left.
    teller.asks(Method::GET, OURS, Ok(stored("[0]"))).await;
    teller.asks(Method::DELETE, OURS, Ok(stored("[0]"))).await;
    teller.leads.send_replace(true);
    teller.own.send_replace("[1]".into());
    teller.rests().await;
    teller.leads.send_replace(false);
    teller
        .asks(Method::GET, OURS, Err(StatusCode::NOT_FOUND))
        .await;
    teller.asks_for_the_pod().await;
    teller.asks(Method::POST, MAPS, Ok(stored("[1]"))).await;
    teller.leads.send_replace(true);
    teller.asks(Method::GET, OURS, Ok(stored("[1]"))).await;
    teller.asks(Method::DELETE, OURS, Ok(stored("[1]"))).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_to_say_costs_one_read_ever() {
    let mut teller = start("");
    teller
        .asks(Method::GET, OURS, Err(StatusCode::NOT_FOUND))
        .await;
    teller.leads.send_replace(true);
    teller.leads.send_replace(false);
    teller.rests().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_without_a_pod_writes_no_report() {
    let mut teller = start("[1]");
    teller
        .asks(Method::GET, OURS, Err(StatusCode::NOT_FOUND))
        .await;
    teller
        .asks(Method::GET, POD, Err(StatusCode::NOT_FOUND))
        .await;
    teller.rests().await;
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_tried_again_from_what_is_stored_then() {
    for code in [StatusCode::CONFLICT, StatusCode::FORBIDDEN] {
        let mut teller = start("[1]");
        teller.asks(Method::GET, OURS, Ok(stored("[0]"))).await;
        teller.asks_for_the_pod().await;
        teller.asks(Method::PUT, OURS, Err(code)).await;
        teller.asks(Method::GET, OURS, Ok(stored("[1]"))).await;
        teller.asks_for_the_pod().await;
        teller.rests().await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_reports_are_heard_and_the_own_one_is_what_it_is_now() {
    let (mut server, _leads, mut access) = access();
    // Only hearing asks: telling waits for its first look, which is not answered.
    let (_leads, leadership) = watch::channel(true);
    access.leadership = leadership;
    let (own, view) = watch::channel("[1]".into());
    let (mut reports, sharing) = share(access, replica(), view, Shutdown::new());
    tokio::spawn(sharing);
    let map = |name: &str, text: &str| json!({"metadata": {"name": name}, "data": {"refusals.json": text}});
    let list = json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "1"},
        "items": [map("istio-refusals-istiod-a", "[2]"), map("istio-refusals-istiod-b", "[0]")]});
    let mut held = Vec::new();
    loop {
        let next = timeout(SOON, server.next_request()).await;
        let (request, answer) = next.expect("in time").expect("a request");
        let query = request.uri().query().unwrap_or_default().to_owned();
        if !query.contains("labelSelector=istio.io%2Freport%3Drefusals") {
            held.push(answer);
            continue;
        }
        answer.send_response(Response::new(Body::from(list.to_string().into_bytes())));
        break;
    }
    let of = |reports: &BTreeMap<String, Arc<str>>| -> Vec<String> {
        reports.values().map(ToString::to_string).collect()
    };
    let both = timeout(SOON, reports.wait_for(|all| all.len() == 2)).await;
    assert_eq!(of(&both.expect("in time").expect("open")), ["[2]", "[1]"]);
    own.send_replace("".into());
    let one = timeout(SOON, reports.wait_for(|all| all.len() == 1)).await;
    assert_eq!(of(&one.expect("in time").expect("open")), ["[2]"]);
}

#[test]
fn a_report_is_forgotten_with_its_pod() {
    let map = |name: &str| -> ConfigMap {
        let map = json!({"metadata": {"name": name}, "data": {"refusals.json": "[1]"}});
        serde_json::from_value(map).expect("a ConfigMap")
    };
    let mut heard = Heard::default();
    let names = |heard: &Heard| heard.with("c", "".into()).into_keys().collect::<Vec<_>>();
    for event in [
        Event::Init,
        Event::InitApply(map("a")),
        Event::InitApply(map("b")),
    ] {
        heard.event(Ok(event));
        assert_eq!(names(&heard), [""; 0]);
    }
    heard.event(Ok(Event::InitDone));
    assert_eq!(names(&heard), ["a", "b"]);
    heard.event(Ok(Event::Delete(map("a"))));
    assert_eq!(names(&heard), ["b"]);
    // One that went while nothing was heard.
    for event in [Event::Init, Event::InitApply(map("d")), Event::InitDone] {
        heard.event(Ok(event));
    }
    assert_eq!(names(&heard), ["d"]);
}
