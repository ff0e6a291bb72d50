//! Which policies hold of whom, and what is closed because it cannot be read or asked.

use api::features::{Features, KeyFetching};
use api::mesh_config::MeshConfig;
use api::security::authorization_policy::Action;
use api::security::jwt::{Fetched, KeySource};
use api::snapshot::{Locality, World, read};
use serde_json::{Value, json};

use super::Keys;
use crate::{Flavour, Proxy, Security, compile};

const KEYS: &str = r#"{"keys":[{"kty":"oct","k":"YQ"}]}"#;

fn world(objects: &[Value]) -> World {
    let mut world = World::new("cluster.local");
    for object in objects {
        let item = read(object).expect("it can be read");
        world.put(item.expect("a kind of the mesh"));
    }
    world
}

fn proxy(kind: &str, namespace: &str, labels: &Value) -> Proxy {
    let node = format!("{kind}~10.0.0.1~a.{namespace}~{namespace}.svc.cluster.local");
    let metadata = json!({"NAMESPACE": namespace, "LABELS": labels});
    let place = Locality::default();
    Proxy::of_node(&node, &metadata, place, Flavour::Stock).expect("a node")
}

fn security(world: &World, proxy: &Proxy) -> Security {
    let (mesh, _) = compile(world.snapshot());
    Security::clone(&mesh.scope(proxy).security)
}

fn policy(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

fn tokens(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

fn names(security: &Security) -> Vec<&str> {
    let policies = security.policies.iter();
    policies.map(|policy| policy.meta.name()).collect()
}

#[test]
fn policies_of_the_root_and_of_the_own_namespace_hold() {
    let app = json!({"selector": {"matchLabels": {"app": "a"}}});
    let gateway = json!({"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway",
        "name": "edge"}]});
    let world = world(&[
        policy("shop", "own", &json!({})),
        policy("shop", "selected", &app),
        policy("istio-system", "root", &app),
        policy("bank", "other", &json!({})),
        policy("shop", "gateway", &gateway),
    ]);
    let own = security(&world, &proxy("sidecar", "shop", &json!({"app": "a"})));
    assert_eq!(names(&own), ["root", "own", "selected"]);
    let other = security(&world, &proxy("sidecar", "shop", &json!({"app": "b"})));
    assert_eq!(names(&other), ["own"]);
    let labels = json!({"gateway.networking.k8s.io/gateway-name": "edge"});
    let edge = security(&world, &proxy("router", "shop", &labels));
    assert_eq!(names(&edge), ["gateway", "own"]);
}

#[test]
fn a_policy_that_cannot_be_read_closes_what_it_is_for() {
    let bad = json!({"selector": {"matchLabels": {"app": "a"}}, "action": "ALOW", "rules": [{}]});
    let world = world(&[policy("shop", "bad", &bad)]);
    let (_, problems) = compile(world.snapshot());
    let problem = problems[0].to_string();
    assert!(
        problem.starts_with("authorizationpolicy shop/bad: spec cannot be read"),
        "{problem}"
    );
    let closed = security(&world, &proxy("sidecar", "shop", &json!({"app": "a"})));
    let rules: Vec<usize> = closed
        .of_action(Action::Deny)
        .map(|policy| policy.spec.rules.len())
        .collect();
    assert_eq!(rules, [1]);
    let open = security(&world, &proxy("sidecar", "shop", &json!({"app": "b"})));
    assert_eq!(names(&open), [""; 0]);
}

#[test]
fn tokens_of_a_request_authentication_that_cannot_be_read_are_refused() {
    let world = world(&[tokens("shop", "bad", &json!({"jwtRules": [{"issuer": 7}]}))]);
    let security = security(&world, &proxy("sidecar", "shop", &json!({})));
    let keys: Vec<&Keys> = security.issuers.iter().map(|own| &own.keys).collect();
    assert_eq!(keys, [&Keys::None]);
    assert_eq!(compile(world.snapshot()).1.len(), 1);
}

#[test]
fn issuers_are_ordered_by_name_and_have_the_keys_that_were_fetched() {
    let rules = json!({"jwtRules": [{"issuer": "z", "jwksUri": "http://z"},
        {"issuer": "a", "jwks": KEYS}, {"issuer": "m"}]});
    let mut world = world(&[tokens("shop", "some", &rules)]);
    let snapshot = world.snapshot().clone();
    let policy = snapshot.request_authentications.values().next();
    let rule = &policy.expect("one").spec.jwt_rules[0];
    let source = rule.key_source().expect("a place");
    let fetched = || Some(Fetched::Keys("keys".into()));
    assert!(world.learn(source.clone(), fetched()).relations);
    assert!(!world.learn(source, fetched()).relations);
    let security = security(&world, &proxy("sidecar", "shop", &json!({})));
    let found: Vec<(&str, &Keys)> = security
        .issuers
        .iter()
        .map(|own| (own.rule.issuer.as_str(), &own.keys))
        .collect();
    let known = |text: &str| Keys::Known(text.into());
    let expected = [
        ("a", &known(KEYS)),
        ("m", &Keys::None),
        ("z", &known("keys")),
    ];
    assert_eq!(found, expected);
}

#[test]
fn authorizers_that_nobody_can_ask_are_problems_of_their_policies() {
    let custom =
        |name: &str| json!({"action": "CUSTOM", "provider": {"name": name}, "rules": [{}]});
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "gate", "namespace": "authz"},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}});
    let mut world = world(&[
        service,
        policy("shop", "good", &custom("gate")),
        policy("shop", "lost", &custom("lost")),
        policy("shop", "none", &custom("nobody")),
        policy("shop", "port", &custom("port")),
    ]);
    let at = |service: &str| json!({"service": service, "port": 80});
    let config = json!({"extensionProviders": [
        {"name": "gate", "envoyExtAuthzGrpc": at("gate.authz.svc.cluster.local")},
        {"name": "lost", "envoyExtAuthzHttp": at("lost.authz.svc.cluster.local")},
        {"name": "port", "envoyExtAuthzGrpc": {"service": "gate.authz.svc.cluster.local", "port": 81}}]});
    world.configure(MeshConfig::parse(&config).expect("a mesh config"));
    let (mesh, problems) = compile(world.snapshot());
    let subjects: Vec<&str> = problems
        .iter()
        .map(|own| own.subject.name.as_str())
        .collect();
    assert_eq!(subjects, ["lost", "none", "port"], "{problems:?}");
    let port = problems[2].to_string();
    let expected = "spec.provider.name \"port\" cannot be asked: its service is \"gate.authz.svc.cluster.local\", of which \
                    port 81 is asked for, but it has port 80; calls that its rules hold of are refused";
    assert!(port.contains(expected), "{port}");
    let scope = mesh.scope(&proxy("sidecar", "shop", &json!({})));
    let asked: Vec<(&str, bool)> = scope
        .security
        .authorizers
        .iter()
        .map(|(name, found)| (name.as_str(), found.is_ok()))
        .collect();
    let expected = [
        ("gate", true),
        ("lost", false),
        ("nobody", false),
        ("port", false),
    ];
    assert_eq!(asked, expected);
    // The host comes later.
    let later = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "lost", "namespace": "authz"},
        "spec": {"clusterIP": "10.0.0.2", "ports": [{"port": 80}]}});
    world.put(read(&later).expect("readable").expect("a kind"));
    let (updated, problems) = crate::update(&mesh, world.snapshot());
    assert_eq!(problems.len(), 2);
    assert_eq!(updated, compile(world.snapshot()).0);
}

#[test]
fn conditions_that_no_proxy_can_be_told_are_problems() {
    let rule = json!({
        "from": [{"source": {"ipBlocks": ["10.0.0.0/99"]}}],
        "to": [{"operation": {"ports": ["http"], "paths": ["/a{*}"]}}],
        "when": [{"key": "source.mood", "values": ["good"]},
            {"key": "destination.port", "values": ["80", "http"]}],
    });
    let spec = json!({"action": "DENY", "rules": [rule]});
    let (_, problems) = compile(world(&[policy("shop", "bad", &spec)]).snapshot());
    let fields: Vec<&str> = problems.iter().map(|own| own.field.as_str()).collect();
    let expected = [
        "spec.rules[0].when[0].key",
        "spec.rules[0].when[1]",
        "spec.rules[0].from[0].source",
        "spec.rules[0].to[0].operation",
        "spec.rules[0].to[0].operation",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn an_issuer_without_usable_keys_is_closed_and_a_problem_of_its_field() {
    let rules = json!({"jwtRules": [
        {"issuer": "a", "jwks": KEYS},
        {"issuer": "b", "jwks": "{\"keys\":[]}"},
        {"issuer": "c", "jwksUri": "https://c/keys"},
        {"issuer": "https://d"},
        {"issuer": "e", "jwksUri": "https://e/keys"}]});
    let mut world = world(&[tokens("shop", "some", &rules)]);
    let snapshot = world.snapshot().clone();
    let policy = snapshot.request_authentications.values().next();
    for rule in &policy.expect("one").spec.jwt_rules[2..4] {
        let failed = Fetched::Failed("status 404".into());
        world.learn(rule.key_source().expect("a place"), Some(failed));
    }
    let sidecar = proxy("sidecar", "shop", &json!({}));
    let found: Vec<bool> = security(&world, &sidecar)
        .issuers
        .iter()
        .map(|own| own.keys == Keys::None)
        .collect();
    assert_eq!(found, [false, true, true, true, true]);
    // The last was not asked yet.
    let (_, problems) = compile(world.snapshot());
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        (
            "spec.jwtRules[1].jwks has no keys, expected a JSON Web Key Set",
            "good",
        ),
        (
            "spec.jwtRules[2].jwksUri keys cannot be fetched from \"https://c/keys\": status 404",
            "good",
        ),
        (
            "spec.jwtRules[3].issuer keys cannot be fetched from where \"https://d\" says",
            "good",
        ),
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, (start, end)) in said.iter().zip(expected) {
        assert!(said.contains(start) && said.ends_with(end), "{said}");
    }
}

#[test]
fn a_host_that_comes_ends_the_problem_of_keys_that_proxies_fetch_there() {
    let uri = "http://keys.shop.svc.cluster.local/all";
    let rules = json!({"jwtRules": [{"issuer": "a", "jwksUri": uri}]});
    let mut world = world(&[tokens("shop", "some", &rules)]).with_features(Features {
        key_fetching: KeyFetching::Hybrid,
        ..Features::default()
    });
    let source = KeySource {
        issuer: "a".to_owned(),
        uri: uri.to_owned(),
    };
    world.learn(source, Some(Fetched::Failed("status 404".into())));
    let (mesh, problems) = compile(world.snapshot());
    assert_eq!(problems.len(), 1, "{problems:?}");
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "keys", "namespace": "shop"},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}});
    world.put(read(&service).expect("readable").expect("a kind"));
    let (updated, problems) = crate::update(&mesh, world.snapshot());
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(updated, compile(world.snapshot()).0);
}
