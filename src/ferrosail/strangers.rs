//! Every parser that a stranger reaches, fed with what no honest peer would send: nothing of it may panic or hang.
//!
//! Inputs are mutations of good ones, from seeds that are printed; a failure prints its input. `cargo test` runs a
//! few hundred of each; FUZZ_SECONDS=3600 gives each target that long, from another seed every time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::features::Features;
use api::snapshot::Locality;
use axum::body::Body;
use axum::http::Request;
use fastrand::Rng;
use mesh::{Flavour, Proxy};
use prost::Message;
use proto::codec::type_url;
use proto::envoy::config::core::v3::Node as WireNode;
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use proto::google::rpc::Status;
use serde_json::{Value, json};
use serve::authenticate::{
    self, Authenticate, ClientCertificate, Credentials, TokenReviewer, Workloads,
};
use serve::metrics::registry;
use source::MeshMap;
use source::store::State;
use tokio::sync::watch;
use tower::{ServiceExt, service_fn};
use xds::session::{Event, delta, sotw};
use xds::{Resource, Resources};

/// Inputs of each target where no time is given.
const FEW: u64 = 300;

/// Values at which programs err.
const ODD: [&str; 22] = [
    "",
    "0",
    "-1",
    "1",
    "65536",
    "4294967296",
    "18446744073709551616",
    "1e309",
    "-0.0",
    "null",
    "true",
    "[]",
    "{}",
    "*",
    "..",
    "/",
    "\u{0}",
    "\u{202e}",
    "a.b.c",
    "0s",
    "99999999999h",
    "((((((((((a+)+)+)+)+)+)+)+)+)+",
];

/// Runs `target` on inputs made by `make`.
fn feed<T: std::fmt::Debug>(
    name: &str,
    mut make: impl FnMut(&mut Rng) -> T,
    mut target: impl FnMut(&T),
) {
    let seconds = std::env::var("FUZZ_SECONDS").ok();
    let seconds: Option<u64> = seconds.and_then(|text| text.parse().ok());
    let first = match seconds {
        None => 0,
        Some(_) => fastrand::u64(..1 << 40),
    };
    let began = Instant::now();
    let mut fed = 0;
    let goes_on = |fed: u64| match seconds {
        None => fed < FEW,
        Some(seconds) => began.elapsed() < Duration::from_secs(seconds),
    };
    while goes_on(fed) {
        let seed = first + fed;
        let input = make(&mut Rng::with_seed(seed));
        let took = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        assert!(outcome.is_ok(), "{name} panics at seed {seed}: {input:?}");
        let took = took.elapsed();
        assert!(
            took < Duration::from_secs(20),
            "{name} took {took:?} at seed {seed}: {input:?}"
        );
        fed += 1;
    }
    println!("{name}: {fed} inputs from seed {first}");
}

/// Bytes near one of `seeds`.
fn mutated(random: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.usize(..seeds.len())].clone();
    for _ in 0..random.usize(1..8) {
        let at = random.usize(..=bytes.len());
        let end = at + random.usize(..=(bytes.len() - at).min(64));
        match random.u8(..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 => drop(bytes.splice(at..end, ODD[random.usize(..ODD.len())].bytes())),
            5 => {
                let other = &seeds[random.usize(..seeds.len())];
                let from = random.usize(..=other.len());
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}

/// The same for values: members and elements go, move, or become something odd.
fn twisted(random: &mut Rng, value: &mut Value) {
    match value {
        Value::Object(members) if !members.is_empty() && random.u8(..8) > 0 => {
            let place = random.usize(..members.len());
            let key = members.keys().nth(place).cloned().unwrap_or_default();
            match random.u8(..12) {
                0 => drop(members.shift_remove(&key)),
                1 => drop(members.insert(odd_text(random), json!({}))),
                _ => twisted(random, members.get_mut(&key).expect("it has the key")),
            }
        }
        Value::Array(elements) if !elements.is_empty() && random.u8(..8) > 0 => {
            let place = random.usize(..elements.len());
            match random.u8(..12) {
                0 => drop(elements.remove(place)),
                1 => elements.push(elements[place].clone()),
                _ => twisted(random, &mut elements[place]),
            }
        }
        other => {
            *other = match random.u8(..4) {
                0 => odd_text(random).into(),
                1 => serde_json::from_str(&odd_text(random)).unwrap_or_default(),
                2 => Value::Array(vec![other.take()]),
                _ => json!(random.i64(..)),
            }
        }
    }
}

fn odd_text(random: &mut Rng) -> String {
    match random.u8(..10) {
        0 => "x".repeat(random.usize(..5000)),
        _ => ODD[random.usize(..ODD.len())].to_owned(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn signing_requests() {
    let key = pki::PrivateKey::generate_p256().expect("a key");
    let request = pki::signing_request(&key, "spiffe://cluster.local/ns/a/sa/b").expect("it");
    let der = [request.into_bytes()];
    feed(
        "signing request",
        |random| mutated(random, &der),
        |bytes| {
            let _ = pki::SigningRequest::from_pem(&text(bytes));
        },
    );
}

#[test]
fn certificates_and_keys() {
    let key = pki::PrivateKey::generate_p256().expect("a key");
    let root = ca::Root::generate("cluster.local", pki::OffsetDateTime::now_utc()).expect("it");
    let seeds = [
        key.to_pem().into_bytes(),
        root.roots_pem().as_bytes().to_vec(),
    ];
    feed(
        "PEM",
        |random| mutated(random, &seeds),
        |bytes| {
            let text = text(bytes);
            let _ = pki::Certificate::from_pem(&text);
            let _ = pki::PrivateKey::from_pem(&text);
            let _ = pki::parse_bundle(&text);
        },
    );
}

#[test]
fn tokens() {
    // {"alg":"RS256"}.{"iss":…,"aud":["istio-ca"],"sub":"system:serviceaccount:shop:web","exp":4102444800}
    let token = "Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2t1YmVybmV0ZXMiLCJhdWQiOlsiaXN0aW8tY2EiXSwic3Vi\
                 Ijoic3lzdGVtOnNlcnZpY2VhY2NvdW50OnNob3A6d2ViIiwiZXhwIjo0MTAyNDQ0ODAwfQ.c2lnbmF0dXJl";
    let seeds = [
        token.as_bytes().to_vec(),
        b"Basic eDp5".to_vec(),
        Vec::new(),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let mut registry = registry("pilot");
    let callers = runtime.block_on(async {
        // An API server that is never there: what is decided before it is asked is what counts here.
        let nobody = service_fn(|_: Request<kube::client::Body>| async {
            Err::<axum::http::Response<kube::client::Body>, _>(std::io::Error::other("nobody"))
        });
        let metrics = authenticate::Metrics::register(&mut registry);
        let trust_domain = "cluster.local".to_owned();
        Workloads {
            certificate: ClientCertificate {
                trust_domain: trust_domain.clone(),
            },
            token: TokenReviewer::new(
                kube::Client::new(nobody, "default"),
                vec!["istio-ca".to_owned()],
                trust_domain,
                metrics.clone(),
            ),
            metrics,
        }
    });
    feed(
        "token",
        |random| text(&mutated(random, &seeds)),
        |header| {
            let credentials = Credentials {
                authorization: Some(header),
                ..Credentials::default()
            };
            let found = runtime.block_on(callers.authenticate(credentials));
            assert!(found.is_err(), "nobody is recognised without an API server");
        },
    );
}

#[test]
fn key_sets() {
    let keys = json!({"keys": [
        {"kty": "RSA", "kid": "a", "use": "sig", "alg": "RS256", "e": "AQAB", "n": format!("{}w", "_".repeat(85))},
        {"kty": "EC", "kid": "b", "crv": "P-256", "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
            "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"},
        {"kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43), "x5c": ["YQ=="]},
        {"kty": "oct", "k": "YQ"}]});
    let deep = format!("{}{}", "{\"keys\":[".repeat(200), "]}".repeat(200));
    let make = |random: &mut Rng| {
        let mut keys = keys.clone();
        for _ in 0..random.usize(1..6) {
            twisted(random, &mut keys);
        }
        let written = keys.to_string().into_bytes();
        match random.u8(..3) {
            0 => text(&mutated(random, &[written, deep.clone().into_bytes()])),
            _ => text(&written),
        }
    };
    feed("key set", make, |text| {
        if api::security::key_set::check(text).is_ok() {
            let read: Value = serde_json::from_str(text).expect("what is taken is JSON");
            assert!(read["keys"].is_array(), "what is taken has keys");
        }
    });
}

/// What a stream says, as far as a session reads it.
#[derive(Debug)]
struct Said {
    type_url: String,
    names: Vec<String>,
    unsubscribed: Vec<String>,
    nonce: String,
    error: Option<String>,
    brought: Vec<(String, String)>,
    /// Whether the resources change before it.
    changes: bool,
}

fn said(random: &mut Rng) -> Said {
    const TYPES: [&str; 7] = [
        type_url::CLUSTER,
        type_url::ENDPOINT,
        type_url::LISTENER,
        type_url::ROUTE,
        type_url::VIRTUAL_HOST,
        type_url::SECRET,
        "anything",
    ];
    let name = |random: &mut Rng| match random.u8(..4) {
        0 => odd_text(random),
        _ => ["a", "b", "80", "80/a", "*"][random.usize(..5)].to_owned(),
    };
    let names = |random: &mut Rng| -> Vec<String> {
        (0..random.usize(..4)).map(|_| name(random)).collect()
    };
    Said {
        type_url: TYPES[random.usize(..TYPES.len())].to_owned(),
        names: names(random),
        unsubscribed: names(random),
        nonce: match random.u8(..3) {
            0 => String::new(),
            _ => random.u8(1..12).to_string(),
        },
        error: random
            .bool()
            .then(|| format!("Error: {} is bad", name(random))),
        brought: (0..random.usize(..3))
            .map(|_| (name(random), name(random)))
            .collect(),
        changes: random.bool(),
    }
}

#[test]
fn discovery_requests() {
    let resources = |number: usize| {
        let mut resources = Resources::default();
        for type_url in [
            type_url::CLUSTER,
            type_url::ENDPOINT,
            type_url::LISTENER,
            type_url::ROUTE,
        ] {
            for name in ["a", "b", "80"] {
                let content = format!("{name}{number}");
                let made = Resource::new(type_url, name, content.as_bytes(), Vec::new());
                resources.insert(type_url, made);
            }
        }
        Arc::new(resources)
    };
    let states = [resources(0), resources(1), Arc::default()];
    let stream = |random: &mut Rng| -> Vec<Said> {
        (0..random.usize(1..30)).map(|_| said(random)).collect()
    };
    feed("discovery request", stream, |stream| {
        let mut incremental = delta::Session::new(states[0].clone());
        let mut whole = sotw::Session::new(states[0].clone());
        for (number, said) in stream.iter().enumerate() {
            if said.changes {
                let now = &states[number % states.len()];
                incremental.on(Event::Resources(now.clone()));
                whole.on(Event::Resources(now.clone()));
            }
            let error_detail = said.error.clone().map(|message| Status {
                message,
                ..Status::default()
            });
            incremental.on(Event::Request(DeltaDiscoveryRequest {
                type_url: said.type_url.clone(),
                resource_names_subscribe: said.names.clone(),
                resource_names_unsubscribe: said.unsubscribed.clone(),
                initial_resource_versions: said.brought.iter().cloned().collect(),
                response_nonce: said.nonce.clone(),
                error_detail: error_detail.clone(),
                ..Default::default()
            }));
            whole.on(Event::Request(DiscoveryRequest {
                type_url: said.type_url.clone(),
                resource_names: said.names.clone(),
                response_nonce: said.nonce.clone(),
                error_detail,
                ..Default::default()
            }));
            let _ = incremental.refusals().count() + whole.refusals().count();
        }
    });
}

#[test]
fn encoded_requests() {
    let node = WireNode {
        id: "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local".to_owned(),
        cluster: "web".to_owned(),
        ..Default::default()
    };
    let names = vec!["a".to_owned(), "*".to_owned()];
    let seeds = [
        DeltaDiscoveryRequest {
            node: Some(node.clone()),
            type_url: type_url::CLUSTER.to_owned(),
            resource_names_subscribe: names.clone(),
            initial_resource_versions: [("a".to_owned(), "1".to_owned())].into(),
            ..Default::default()
        }
        .encode_to_vec(),
        DiscoveryRequest {
            node: Some(node),
            type_url: type_url::ROUTE.to_owned(),
            resource_names: names,
            error_detail: Some(Status::default()),
            ..Default::default()
        }
        .encode_to_vec(),
    ];
    feed(
        "encoded request",
        |random| mutated(random, &seeds),
        |bytes| {
            let incremental = DeltaDiscoveryRequest::decode(bytes.as_slice());
            let whole = DiscoveryRequest::decode(bytes.as_slice());
            let nodes = [
                incremental.ok().and_then(|request| request.node),
                whole.ok().and_then(|request| request.node),
            ];
            for node in nodes.into_iter().flatten() {
                let _ = xds::Node::parse(Some(&node));
            }
        },
    );
}

#[test]
fn nodes() {
    let seeds = [b"sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local".to_vec()];
    let metadata = json!({"NAMESPACE": "shop", "LABELS": {"app": "web"}, "INSTANCE_IPS": "10.0.0.1,::1",
        "CLUSTER_ID": "c", "PROXY_CONFIG": {"concurrency": 2}, "ISTIO_VERSION": "1.32.0",
        "INTERCEPTION_MODE": "TPROXY", "DNS_CAPTURE": "true", "HTTP10": "1"});
    let make = |random: &mut Rng| {
        let mut metadata = metadata.clone();
        twisted(random, &mut metadata);
        (text(&mutated(random, &seeds)), metadata)
    };
    feed("node", make, |(id, metadata)| {
        let wire = WireNode {
            id: id.clone(),
            ..Default::default()
        };
        let _ = xds::Node::parse(Some(&wire));
        let _ = Proxy::of_node(id, metadata, Locality::default(), Flavour::Stock);
    });
}

#[test]
fn admission_reviews() {
    let review = |object: Value| {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "1", "operation": "CREATE", "namespace": "shop", "dryRun": false, "object": object}})
    };
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "web-", "labels": {"app": "web"}, "annotations": {
            "proxy.istio.io/config": "{concurrency: 2}", "sidecar.istio.io/proxyCPU": "1"}},
        "spec": {"containers": [{"name": "web", "ports": [{"containerPort": 80}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 80}}}]}});
    let mut seeds: Vec<Value> = kinds().into_iter().map(review).collect();
    seeds.extend((0..seeds.len()).map(|_| review(pod.clone())));
    let config = "templates: {sidecar: 'spec: {containers: [{name: istio-proxy}]}'}";
    let (_, follow) = watch::channel(Some(Arc::new(webhook::settings::Injection {
        settings: inject::Settings::parse(config, "{}").ok(),
        mesh: inject::MeshConfig::default(),
        nodes: Default::default(),
    })));
    let mut registry = registry("pilot");
    let injector = webhook::Injector {
        follow,
        revision: "default".to_owned(),
        compliance_policy: String::new(),
        metrics: webhook::Metrics::register(&mut registry),
    };
    let router = webhook::router(injector, webhook::Validation::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    let make = |random: &mut Rng| {
        let mut review = seeds[random.usize(..seeds.len())].clone();
        for _ in 0..random.usize(1..4) {
            twisted(random, &mut review);
        }
        let body = review.to_string().into_bytes();
        match random.u8(..4) {
            0 => mutated(random, &[body]),
            _ => body,
        }
    };
    feed("admission review", make, |body| {
        for path in ["/inject", "/validate"] {
            let request = Request::post(path)
                .header("content-type", "application/json")
                .body(Body::from(body.clone()))
                .expect("a request");
            let answer = runtime.block_on(router.clone().oneshot(request));
            let status = answer.expect("infallible").status().as_u16();
            assert!([200, 400, 415].contains(&status), "{path}: {status}");
        }
    });
}

/// An object of each kind, good and bad ones.
fn kinds() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../validate/testdata");
    let mut objects = Vec::new();
    for entry in std::fs::read_dir(folder).expect("testdata") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let text = std::fs::read_to_string(&path).expect("readable");
            objects.extend(api::yaml::documents(&text).expect("YAML"));
        }
    }
    objects.sort_by_key(Value::to_string);
    objects.extend(
        WORLD
            .iter()
            .map(|text| serde_json::from_str(text).expect("JSON")),
    );
    objects
}

const WORLD: [&str; 5] = [
    r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"reviews","namespace":"shop"},"spec":{"clusterIPs":["10.96.0.1"],"selector":{"app":"reviews"},"ports":[{"name":"http","port":9080,"targetPort":"web"}]}}"#,
    r#"{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"reviews-a","namespace":"shop","labels":{"kubernetes.io/service-name":"reviews"}},"ports":[{"name":"http","port":9080}],"endpoints":[{"addresses":["10.1.0.1"]}]}"#,
    r#"{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"web","namespace":"shop","annotations":{"kubernetes.io/ingress.class":"istio"}},"spec":{"rules":[{"host":"a.example.com","http":{"paths":[{"path":"/x","pathType":"Prefix","backend":{"service":{"name":"reviews","port":{"number":9080}}}}]}}]}}"#,
    r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"cert","namespace":"shop"},"data":{"tls.crt":"YQ==","tls.key":"Yg=="}}"#,
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"istio","namespace":"istio-system"},"data":{"mesh":"{accessLogFile: /dev/stdout, defaultConfig: {concurrency: 2}}"}}"#,
];

#[test]
fn objects_of_each_kind() {
    let objects = kinds();
    let map = MeshMap::of_revision("istio-system", "");
    let proxy = |kind: &str| {
        let id = format!("{kind}~10.0.0.9~web-1.shop~shop.svc.cluster.local");
        let metadata =
            json!({"NAMESPACE": "shop", "LABELS": {"app": "reviews", "istio": "ingressgateway"}});
        Proxy::of_node(&id, &metadata, Locality::default(), Flavour::IstioProxy).expect("a proxy")
    };
    let proxies = [proxy("sidecar"), proxy("router")];
    let make = |random: &mut Rng| {
        let mut text: String = WORLD.map(|object| format!("{object}\n---\n")).concat();
        for _ in 0..random.usize(1..4) {
            let mut object = objects[random.usize(..objects.len())].clone();
            for _ in 0..random.usize(1..5) {
                twisted(random, &mut object);
            }
            text += &format!("{object}\n---\n");
        }
        match random.u8(..6) {
            0 => self::text(&mutated(random, &[text.into_bytes()])),
            _ => text,
        }
    };
    feed("objects", make, |text| {
        let Ok(changes) = source::files::read_text(text, &map) else {
            return;
        };
        let mut state = State::new("cluster.local", Features::default(), 0);
        state.take_in(changes);
        let (mesh, _) = mesh::compile(state.world().snapshot());
        for proxy in &proxies {
            let resources = envoy::derive(&mesh.scope(proxy), &envoy::Memo::default());
            assert!(resources.has(type_url::LISTENER) || !resources.has(type_url::ROUTE));
        }
    });
}
