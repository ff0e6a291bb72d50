//! An API server of our own making: what it lists, refuses and ends.

use std::time::Duration;

use api::snapshot::{Item, Key, Kind};
use http::{Request, Response};
use kube::client::Body;
use kube::core::Status;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{Error, Event};
use kube::{Client, api::DynamicObject};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tower_test::mock;

use super::{Listings, Metrics, Pauses, SETTINGS, WATCHED, follow};
use crate::{Change, MeshMap};

const SOON: Duration = Duration::from_secs(10);
/// Kinds of Istio's API that the mesh does not read: what is wrong with their objects is told nevertheless.
const JUDGED_ONLY: [&str; 5] = [
    "EnvoyFilter",
    "ProxyConfig",
    "WorkloadGroup",
    "WasmPlugin",
    "TrafficExtension",
];

fn mesh_map() -> MeshMap {
    MeshMap::of_revision("istio-system", "")
}

fn index_of(kind: &str) -> usize {
    let position = WATCHED.iter().position(|watched| watched.kind == kind);
    position.expect("a watched kind")
}

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).expect("an object")
}

fn service(name: &str) -> DynamicObject {
    object(
        json!({"metadata": {"namespace": "shop", "name": name}, "spec": {"clusterIP": "10.0.0.1"}}),
    )
}

#[test]
fn every_kind_that_the_mesh_reads_is_watched() {
    let kinds: Vec<_> = WATCHED
        .iter()
        .map(|watched| Kind::of(&watched.api_version(), watched.kind).ok_or(watched.kind))
        .collect();
    let judged = kinds.iter().filter_map(|kind| kind.err());
    let judged: Vec<&str> = judged.collect();
    assert_eq!(judged, JUDGED_ONLY);
    let kinds: std::collections::BTreeSet<Kind> = kinds.into_iter().flatten().collect();
    assert_eq!(kinds.len(), WATCHED.len() - 1 - judged.len());
    // The last variant says how many there are.
    assert_eq!(kinds.len(), Kind::Telemetry as usize + 1);
}

#[test]
fn a_new_listing_removes_what_it_lacks() {
    let mut listings = Listings::new(mesh_map(), Metrics::default());
    let services = index_of("Service");
    listings.take_in(services, Ok(Event::Init));
    listings.take_in(services, Ok(Event::InitApply(service("a"))));
    listings.take_in(services, Ok(Event::InitApply(service("b"))));
    assert_eq!(listings.take_in(services, Ok(Event::InitDone)), []);
    listings.take_in(services, Ok(Event::Init));
    listings.take_in(services, Ok(Event::InitApply(service("b"))));
    let changes = listings.take_in(services, Ok(Event::InitDone));
    assert_eq!(
        changes,
        [Change::Remove(Kind::Service, Key::new("shop", "a"))]
    );
}

#[test]
fn a_malformed_object_is_refused_and_the_next_is_taken() {
    let mut listings = Listings::new(mesh_map(), Metrics::default());
    let index = index_of("VirtualService");
    let of = |name: &str, hosts: Value| {
        object(json!({"metadata": {"namespace": "shop", "name": name}, "spec": {"hosts": hosts}}))
    };
    let refused = listings.take_in(index, Ok(Event::Apply(of("bad", json!({"not": "a list"})))));
    assert!(
        matches!(&refused[..], [Change::Refuse(Kind::VirtualService, key, _), Change::Judge(_), ..] if key.name == "bad")
    );
    let taken = listings.take_in(index, Ok(Event::Apply(of("good", json!(["a"])))));
    assert!(matches!(&taken[..], [Change::Put(_), ..]));
}

#[test]
fn objects_that_the_mesh_does_not_read_are_judged_until_they_are_gone() {
    let mut listings = Listings::new(mesh_map(), Metrics::default());
    let index = index_of("EnvoyFilter");
    let filter = |patch: &str| {
        object(
            json!({"metadata": {"namespace": "shop", "name": "tune", "generation": 3},
            "spec": {"configPatches": [{"applyTo": patch}]}}),
        )
    };
    let found = |changes: &[Change]| {
        let [Change::Judge(finding), ..] = changes else {
            panic!("expected a judgement, got {changes:?}");
        };
        (finding.generation, finding.problems.len())
    };
    let bad = listings.take_in(index, Ok(Event::Apply(filter("NOTHING"))));
    let (generation, problems) = found(&bad);
    assert!(generation == 3 && problems > 0, "{bad:?}");
    let gone = listings.take_in(index, Ok(Event::Delete(filter("NOTHING"))));
    assert_eq!(found(&gone), (0, 0));
}

#[test]
fn a_kind_that_is_not_served_has_no_objects_and_a_refused_one_is_waited_for() {
    let failed = |code| {
        let status = Status {
            code,
            ..Default::default()
        };
        Err(Error::InitialListFailed(kube::Error::Api(Box::new(status))))
    };
    let mut listings = Listings::new(mesh_map(), Metrics::default());
    for index in 1..WATCHED.len() {
        assert_eq!(listings.take_in(index, failed(404)), []);
    }
    assert_eq!(listings.take_in(0, failed(403)), []);
    assert_eq!(listings.take_in(0, failed(404)), [Change::Complete]);
    // It is said once.
    assert_eq!(listings.take_in(0, failed(404)), []);
}

#[test]
fn config_maps_are_roots_and_settings_come_by_their_own_watch() {
    let mut listings = Listings::new(mesh_map(), Metrics::default());
    let all = WATCHED.iter().rposition(|own| own.kind == "ConfigMap");
    let all = all.expect("watched");
    assert_ne!(all, SETTINGS);
    let map = |namespace: &str, name: &str, data: Value| {
        object(json!({"metadata": {"namespace": namespace, "name": name}, "data": data}))
    };
    let settings = || map("istio-system", "istio", json!({"mesh": "", "ca.crt": "a"}));
    for event in [Event::Apply(settings()), Event::Delete(settings())] {
        assert_eq!(listings.take_in(all, Ok(event)), []);
    }
    let roots = map("shop", "istio", json!({"ca.crt": "a"}));
    let told = listings.take_in(all, Ok(Event::Apply(roots)));
    assert!(
        matches!(&told[..], [Change::Put(item)] if matches!(&**item, Item::ConfigMap(key, _) if key.name == "istio")),
        "{told:?}"
    );
    // One that holds nothing of use any more counts as gone, and so does what a new listing lacks.
    let gone = Change::Remove(Kind::ConfigMap, Key::new("shop", "istio"));
    let empty = map("shop", "istio", json!({"other": "a"}));
    let told = listings.take_in(all, Ok(Event::Apply(empty)));
    assert_eq!(told, std::slice::from_ref(&gone));
    listings.take_in(all, Ok(Event::Init));
    assert_eq!(listings.take_in(all, Ok(Event::InitDone)), [gone]);
    // Without the right to read them there are none.
    let status = Status {
        code: 403,
        ..Default::default()
    };
    let refused = Error::InitialListFailed(kube::Error::Api(Box::new(status)));
    assert!(listings.missing[SETTINGS]);
    listings.missing[all] = true;
    listings.take_in(all, Err(refused));
    assert!(!listings.missing[all]);
}

#[test]
fn a_mesh_configuration_that_goes_leaves_the_defaults() {
    let mut listings = Listings::new(mesh_map(), Metrics::default());
    let map = || {
        object(
            json!({"metadata": {"namespace": "istio-system", "name": "istio"},
            "data": {"mesh": "accessLogFile: /dev/stdout"}}),
        )
    };
    listings.take_in(0, Ok(Event::Init));
    let told = listings.take_in(0, Ok(Event::InitApply(map())));
    assert!(
        matches!(&told[..], [Change::Configure(mesh), ..] if mesh.access_log_file == "/dev/stdout")
    );
    listings.take_in(0, Ok(Event::InitDone));
    let gone = listings.take_in(0, Ok(Event::Delete(map())));
    assert_eq!(gone, [Change::Configure(Box::default())]);
}

/// Answers lists with `items` for services and nothing for all else; watches are left open.
async fn serve(mut handle: mock::Handle<Request<Body>, Response<Body>>, items: Value) {
    let mut open = Vec::new();
    while let Some((request, send)) = handle.next_request().await {
        let uri = request.uri().to_string();
        if uri.contains("watch=") {
            open.push(send);
            continue;
        }
        let items = if uri.contains("/services?") {
            items.clone()
        } else {
            json!([])
        };
        let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items});
        let body = Body::from(serde_json::to_vec(&list).expect("JSON"));
        send.send_response(Response::new(body));
    }
}

#[tokio::test]
async fn listings_arrive_and_end_with_complete() {
    let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
    let items = json!([
        {"metadata": {"namespace": "shop", "name": "odd"}, "spec": {"ports": "none"}},
        {"metadata": {"namespace": "shop", "name": "web"}, "spec": {"clusterIP": "10.0.0.1"}},
    ]);
    let server = tokio::spawn(serve(handle, items));
    let (sender, mut receiver) = mpsc::channel(64);
    let client = Client::new(service, "default");
    let following = tokio::spawn(follow(client, mesh_map(), Metrics::default(), sender));
    let mut told = Vec::new();
    while told.last() != Some(&Change::Complete) {
        let batch = timeout(SOON, receiver.recv()).await.expect("in time");
        told.extend(batch.expect("running"));
    }
    let services = told.iter().filter_map(|change| match change {
        Change::Put(item) => match &**item {
            Item::Service(key, _) => Some(key.name.as_str()),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(services.collect::<Vec<_>>(), ["odd", "web"]);
    drop(receiver);
    timeout(SOON, following)
        .await
        .expect("ends when nobody listens")
        .expect("no panic");
    server.abort();
}

#[test]
fn pauses_grow_to_five_seconds_and_begin_anew_after_success() {
    let mut pauses = Pauses::default();
    let all: Vec<u128> = pauses
        .by_ref()
        .take(5)
        .map(|pause| pause.as_millis())
        .collect();
    assert_eq!(all, [800, 1600, 3200, 5000, 5000]);
    pauses.reset();
    assert_eq!(pauses.next(), Some(Duration::from_millis(800)));
}
