//! What validation costs at the door: one admission review from the bytes of its request to the bytes of its answer,
//! without TLS. A VirtualService as people write them, the largest one of CORPORA, and the largest object there of all.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;
use webhook::settings::Injection;
use webhook::{Injector, Metrics, Validation, router};

/// How long one figure is measured.
const TIME: Duration = Duration::from_secs(2);
/// Before that, so that tables which are made once are there.
const WARM: u32 = 20;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counted.
struct Counting;

#[allow(
    unsafe_code,
    reason = "an allocator is written so; each call is passed on as it came"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let routes = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "reviews", "namespace": "shop", "labels": {"app": "reviews"}},
        "spec": {"hosts": ["reviews"], "http": [
            {
                "match": [{"headers": {"end-user": {"exact": "jason"}}, "uri": {"prefix": "/api"}}],
                "retries": {"attempts": 3, "perTryTimeout": "2s"},
                "route": [{"destination": {"host": "reviews", "subset": "v2"}}],
            },
            {
                "timeout": "10s",
                "route": [
                    {"destination": {"host": "reviews", "subset": "v1"}, "weight": 90},
                    {"destination": {"host": "reviews", "subset": "v3"}, "weight": 10},
                ],
            },
        ]},
    });
    let columns = ("", "bytes", "µs", "allocations", "allocated kB");
    let (name, size, time, allocations, bytes) = columns;
    println!("{name:<44}{size:>9}{time:>10}{allocations:>13}{bytes:>14}");
    measure("a VirtualService with two routes", &routes).await;
    let Some(corpora) = std::env::var_os("CORPORA") else {
        println!("CORPORA is not set: the largest objects there were not measured");
        return;
    };
    let mut largest = BTreeMap::new();
    collect(Path::new(&corpora), &mut largest);
    for (what, (_, object)) in &largest {
        let kind = object["kind"].as_str().unwrap_or_default();
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        measure(&format!("{what}: {kind} {name}"), object).await;
    }
}

/// The largest objects of the YAML files below `folder`, by what they are the largest of.
fn collect(folder: &Path, largest: &mut BTreeMap<&'static str, (usize, Value)>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, largest);
            continue;
        }
        let is_yaml = path.extension().is_some_and(|ending| ending == "yaml");
        let text = match is_yaml {
            true => std::fs::read_to_string(&path).unwrap_or_default(),
            false => continue,
        };
        for object in api::yaml::documents(&text).unwrap_or_default() {
            let subject = validate::reference(&object);
            if api::crds::schema(subject.group(), &subject.kind).is_none() {
                continue;
            }
            let size = object.to_string().len();
            let mut stand = |what| {
                let known = largest.get(what).map_or(0, |(size, _)| *size);
                if size > known {
                    largest.insert(what, (size, object.clone()));
                }
            };
            stand("largest");
            if subject.kind == "VirtualService" {
                stand("largest VirtualService");
            }
        }
    }
}

fn server() -> Router {
    let (_, follow) = watch::channel(None::<Arc<Injection>>);
    let registry = &mut Registry::default();
    let injector = Injector {
        follow,
        revision: "default".to_owned(),
        compliance_policy: String::new(),
        metrics: Metrics::register(registry),
    };
    router(injector, Validation::register(registry))
}

async fn measure(what: &str, object: &Value) {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "705ab4f5", "operation": "CREATE", "namespace": "shop", "name": object["metadata"]["name"],
        "object": object}});
    let review: Bytes = review.to_string().into();
    let server = server();
    for _ in 0..WARM {
        ask(&server, &review).await;
    }
    let (before, bytes_before) = counted();
    let began = Instant::now();
    let mut times: u32 = 0;
    while began.elapsed() < TIME {
        ask(&server, &review).await;
        times += 1;
    }
    let took = began.elapsed().as_secs_f64() / f64::from(times) * 1e6;
    let (after, bytes_after) = counted();
    let each = |total: u64| total / u64::from(times);
    println!(
        "{what:<44}{:>9}{took:>10.1}{:>13}{:>14}",
        review.len(),
        each(after - before),
        each(bytes_after - bytes_before) / 1000
    );
}

fn counted() -> (u64, u64) {
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    (count(&ALLOCATIONS), count(&BYTES))
}

async fn ask(server: &Router, review: &Bytes) {
    let request = Request::post("/validate")
        .header("content-type", "application/json")
        .body(Body::from(review.clone()))
        .expect("a request");
    let response = server.clone().oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.expect("a body");
    assert!(!body.to_bytes().is_empty());
}
