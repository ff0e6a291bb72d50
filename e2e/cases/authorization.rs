//! Who may call what: real requests by several identities, each with the verdict that a table of its own says, and
//! mTLS that one port demands.

use e2e::eventually::eventually;
use e2e::namespace::{self, Namespace};
use e2e::token::{self, Issuer};
use e2e::workload::Workload;
use e2e::{cluster, mesh};
use serde_json::{Value, json};

const ECHO: &str = "http://echo.authorization.svc.cluster.local:8080";
const METHODS: [&str; 3] = ["GET", "POST", "DELETE"];
const PATHS: [&str; 7] = [
    "/public/a",
    "/internal/a",
    "/admin",
    "/items/7/price",
    "/items/7/8/price",
    "/tokens/a",
    "/nothing",
];

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// `web` of the server's namespace.
    Web,
    /// `batch` of it.
    Batch,
    /// `web` of another namespace.
    Other,
    /// Without a sidecar, so without an identity.
    Plain,
}

/// The token that a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    None,
    User,
    Admin,
    /// By a key that is not the issuer's.
    Forged,
}

/// One request.
#[derive(Clone, Copy, Debug)]
struct Call {
    method: &'static str,
    path: &'static str,
    /// `x-tenant: acme`
    tenant: bool,
    /// `x-debug: 1`
    debug: bool,
    token: Token,
}

/// What the policies of this case mean, said once more and in another way.
fn verdict(caller: Caller, call: Call) -> u16 {
    let Call {
        method,
        path,
        tenant,
        debug,
        token,
    } = call;
    if token == Token::Forged {
        return 401;
    }
    let refused = caller == Caller::Other && method == "DELETE"
        || path == "/internal/a" && debug
        || path == "/admin" && token != Token::Admin;
    let allowed = match caller {
        Caller::Web => method == "GET" && ["/public/a", "/internal/a", "/admin"].contains(&path),
        Caller::Batch => method != "DELETE" && path == "/items/7/price",
        Caller::Other => tenant && path == "/public/a",
        Caller::Plain => false,
    };
    let by_token = token != Token::None && path == "/tokens/a";
    match (allowed || by_token) && !refused {
        true => 200,
        false => 403,
    }
}

fn calls() -> Vec<Call> {
    let mut calls = Vec::new();
    for method in METHODS {
        for path in PATHS {
            for (tenant, debug) in [(false, false), (true, false), (false, true)] {
                for token in [Token::None, Token::User, Token::Admin, Token::Forged] {
                    calls.push(Call {
                        method,
                        path,
                        tenant,
                        debug,
                        token,
                    });
                }
            }
        }
    }
    calls
}

fn policy(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"name": name}, "spec": spec})
}

/// For `echo`, which has an HTTP and a TCP port.
pub(super) fn of_echo(name: &str, action: &str, rules: Value) -> Value {
    let selector = json!({"matchLabels": {"app": "echo"}});
    policy(
        name,
        json!({"selector": selector, "action": action, "rules": rules}),
    )
}

pub(super) fn tokens(keys: &[&Issuer]) -> Value {
    json!({"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
        "metadata": {"name": "tokens"},
        "spec": {"selector": {"matchLabels": {"app": "echo"}},
            "jwtRules": [{"issuer": token::NAME, "jwks": token::key_set(keys)}]}})
}

fn policies() -> Vec<Value> {
    // Rules about requests name the port of requests: on others they would refuse everything.
    let on_http = |mut operation: Value| {
        operation["ports"] = json!(["8080"]);
        json!([{"operation": operation}])
    };
    vec![
        of_echo(
            "no-deletion",
            "DENY",
            json!([{
            "from": [{"source": {"namespaces": ["authorization-other"]}}],
            "to": on_http(json!({"methods": ["DELETE"]}))}]),
        ),
        of_echo(
            "no-debugging",
            "DENY",
            json!([{
            "to": on_http(json!({"paths": ["/internal/*"]})),
            "when": [{"key": "request.headers[x-debug]", "values": ["*"]}]}]),
        ),
        of_echo(
            "administrators",
            "DENY",
            json!([{
            "to": on_http(json!({"paths": ["/admin*"]})),
            "when": [{"key": "request.auth.claims[role]", "notValues": ["admin"]}]}]),
        ),
        of_echo(
            "web",
            "ALLOW",
            json!([{
            "from": [{"source": {"principals": ["cluster.local/ns/authorization/sa/web"]}}],
            "to": [{"operation": {"methods": ["GET"],
                "paths": ["/public/*", "/internal/*", "/admin*"]}}]}]),
        ),
        of_echo(
            "batch",
            "ALLOW",
            json!([{
            "from": [{"source": {"serviceAccounts": ["batch"]}}],
            "to": [{"operation": {"methods": ["GET", "POST"], "paths": ["/items/{*}/price"]}}]}]),
        ),
        of_echo(
            "tokens",
            "ALLOW",
            json!([{
            "from": [{"source": {"requestPrincipals": [format!("{}/*", token::NAME)]}}],
            "to": [{"operation": {"paths": ["/tokens/*"]}}]}]),
        ),
        of_echo(
            "tenants",
            "ALLOW",
            json!([{
            "from": [{"source": {"namespaces": ["authorization-other"]}}],
            "to": [{"operation": {"paths": ["/public/*"]}}],
            "when": [{"key": "request.headers[x-tenant]", "values": ["a*"]}]}]),
        ),
        of_echo(
            "connections",
            "ALLOW",
            json!([{
            "from": [{"source": {"principals": ["*/sa/batch"]}}],
            "to": [{"operation": {"ports": ["9000"]}}]}]),
        ),
        of_echo(
            "sentinel",
            "ALLOW",
            json!([{"to": [{"operation": {"paths": ["/sentinel"]}}]}]),
        ),
    ]
}

/// The status of each request, or why there is none.
async fn ask(place: &Namespace, app: &str, url: &str, requests: &Value) -> Result<Value, String> {
    let requests = requests.to_string();
    let output = place
        .run(app, &["ask", "--url", url, "--requests", &requests])
        .await?;
    serde_json::from_str(&output.stdout).map_err(|error| format!("{error}: {output:?}"))
}

pub(super) fn get(path: &str, headers: &[String]) -> Value {
    json!({"method": "GET", "path": path, "headers": headers})
}

pub(super) fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}")
}

pub(super) async fn answers(
    place: &Namespace,
    app: &str,
    url: &str,
    requests: &Value,
    expected: &Value,
) {
    let what = format!("{}/{app} is answered {expected}", place.name);
    eventually(&place.client, &what, 30, || async {
        let found = ask(place, app, url, requests).await?;
        (found == *expected).then_some(()).ok_or(found.to_string())
    })
    .await;
}

#[tokio::test]
async fn every_verdict_is_the_one_that_the_policies_say() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "authorization", async |place| {
        let injected = json!({"istio-injection": "enabled"});
        let other = place.beside("authorization-other", injected).await;
        let own = [
            Workload::echo("echo", "v1"),
            Workload::client("web"),
            Workload::client("batch"),
            Workload::client("plain").plain(),
        ];
        let elsewhere = [Workload::client("web")];
        futures::join!(place.deploy(&own), other.deploy(&elsewhere));
        let (issuer, forger) = (Issuer::new("a"), Issuer::new("a"));
        place.apply(tokens(&[&issuer])).await;
        for policy in policies() {
            place.apply(policy).await;
        }
        let bearer_of = |token: Token| match token {
            Token::None => None,
            Token::User => Some(issuer.token("joe", &json!({"role": "user"}))),
            Token::Admin => Some(issuer.token("ann", &json!({"role": ["admin", "user"]}))),
            Token::Forged => Some(forger.token("eve", &json!({"role": "admin"}))),
        };
        // The last policy and the keys are there, so all are.
        let known = json!([
            get("/sentinel", &[]),
            get(
                "/sentinel",
                &[bearer(&bearer_of(Token::Forged).expect("one"))]
            ),
        ]);
        answers(place, "plain", ECHO, &known, &json!([200, 401])).await;

        let calls = calls();
        let requests: Vec<Value> = calls
            .iter()
            .map(|call| {
                let mut headers: Vec<String> = Vec::new();
                headers.extend(call.tenant.then(|| "x-tenant: acme".to_owned()));
                headers.extend(call.debug.then(|| "x-debug: 1".to_owned()));
                headers.extend(bearer_of(call.token).map(|token| bearer(&token)));
                json!({"method": call.method, "path": call.path, "headers": headers})
            })
            .collect();
        let mut sent = 0;
        let mut wrong = Vec::new();
        for (caller, from, app) in [
            (Caller::Web, place, "web"),
            (Caller::Batch, place, "batch"),
            (Caller::Other, &other, "web"),
            (Caller::Plain, place, "plain"),
        ] {
            // A command line has an end.
            for (calls, requests) in calls.chunks(50).zip(requests.chunks(50)) {
                let found = ask(from, app, ECHO, &json!(requests)).await;
                let found = found.expect("answers");
                for (call, found) in calls.iter().zip(found.as_array().expect("a list")) {
                    sent += 1;
                    let expected = verdict(caller, *call);
                    if *found != json!(expected) {
                        wrong.push(format!("{caller:?} {call:?}: {found}, expected {expected}"));
                    }
                }
            }
        }
        println!("{sent} requests, {} wrong verdicts", wrong.len());
        assert!(sent >= 300, "only {sent} requests were sent");
        assert!(wrong.is_empty(), "{wrong:#?}");

        for (from, app, allowed) in [
            (place, "batch", true),
            (place, "web", false),
            (&other, "web", false),
            (place, "plain", false),
        ] {
            let to = "echo.authorization.svc.cluster.local:9000";
            let said = ["tcp", "--to", to, "--line", "x", "--timeout", "5s"];
            let said = from.run(app, &said).await.expect("it runs").stdout;
            let served = said.starts_with("hello ");
            assert_eq!(served, allowed, "{}/{app} over TCP: {said}", from.name);
        }
    })
    .await;
}

#[tokio::test]
async fn mutual_tls_is_demanded_of_one_port() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "strict-port", async |place| {
        let plain = Workload::client("plain").plain();
        let workloads = [Workload::echo("echo", "v1"), Workload::client("web"), plain];
        place.deploy(&workloads).await;
        place
            .apply(json!({
                "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
                "metadata": {"name": "echo"},
                "spec": {"selector": {"matchLabels": {"app": "echo"}},
                    "mtls": {"mode": "PERMISSIVE"},
                    "portLevelMtls": {"9000": {"mode": "STRICT"}}},
            }))
            .await;
        let requests = json!([get("/", &[])]);
        for (app, tcp) in [("plain", false), ("web", true)] {
            let what = format!("{app} speaks TCP: {tcp}");
            eventually(&client, &what, 30, || async {
                let said = ["tcp", "--to", "echo:9000", "--line", "x", "--timeout", "5s"];
                let said = place.run(app, &said).await?.stdout;
                let http = ask(place, app, "http://echo:8080", &requests).await?;
                let right = said.starts_with("hello ") == tcp && http == json!([200]);
                right
                    .then_some(())
                    .ok_or(format!("tcp {said}, http {http}"))
            })
            .await;
        }
    })
    .await;
}
