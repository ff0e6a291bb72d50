//! What is decided elsewhere, and what is only recorded: authorizers that are asked over HTTP and over gRPC, and are
//! gone; and policies of action AUDIT, whose records are in the access log.

use e2e::eventually::eventually;
use e2e::namespace::{self, Namespace};
use e2e::workload::{self, Workload};
use e2e::{cluster, mesh};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::authorization::{answers, get};

/// Where the one that speaks gRPC is asked.
const DECIDER: u16 = 9191;

/// Both ask the same program, each over its own protocol; calls of every app are recorded in a form of its own.
fn providers(namespace: &str) -> Value {
    let service = |name: &str| format!("{name}.{namespace}.svc.cluster.local");
    json!([
        {"name": "http-judge", "envoyExtAuthzHttp": {
            "service": service("judge"), "port": workload::HTTP, "timeout": "2s",
            "includeRequestHeadersInCheck": ["x-verdict"]}},
        {"name": "grpc-judge", "envoyExtAuthzGrpc": {
            "service": service("decider"), "port": DECIDER, "timeout": "2s"}},
        {"name": "records", "envoyFileAccessLog": {"path": "/dev/stdout", "logFormat": {
            "text": "case-record %DYNAMIC_METADATA(envoy.common:access_log_hint)% %REQ(:PATH)%\n"}}},
    ])
}

/// Sets the extension providers of the mesh.
async fn configure(client: &kube::Client, providers: Value) {
    let patch = json!({"spec": {"meshConfig": {"extensionProviders": providers}}});
    mesh::operators(client)
        .patch(mesh::NAME, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("a mesh configuration");
    mesh::wait_until_healthy(client).await;
}

/// A policy about paths of an app's HTTP port.
fn policy(app: &str, name: &str, action: &str, path: &str) -> Value {
    json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": app}}, "action": action,
            "rules": [{"to": [{"operation": {"paths": [path], "ports": ["8080"]}}]}]}})
}

fn custom(app: &str, name: &str, provider: &str, path: &str) -> Value {
    let mut made = policy(app, name, "CUSTOM", path);
    made["spec"]["provider"] = json!({"name": provider});
    made
}

/// Lines of the access log of an app's proxy that say whether a request was to be recorded.
async fn records(place: &Namespace, app: &str) -> Vec<String> {
    let pod = place.pod_of(app).await;
    let log = place.log(&pod, "istio-proxy").await;
    let lines = log
        .lines()
        .filter_map(|line| line.strip_prefix("case-record "));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn authorizers_decide_without_them_nothing_passes_and_audits_are_recorded() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    configure(&client, providers("authorizer")).await;
    namespace::injected(&client, "authorizer", async |place| {
        let workloads = [
            Workload::echo("echo", "v1"),
            Workload::echo("told", "v1"),
            Workload::judge("judge"),
            Workload::role("decider", "judge", &["--port", &DECIDER.to_string()]),
            Workload::client("web"),
        ];
        place.deploy(&workloads).await;
        place
            .apply(json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "decider"},
                "spec": {"selector": {"app": "decider"}, "ports": [{"name": "grpc", "port": DECIDER}]},
            }))
            .await;
        place
            .apply(custom("echo", "asked", "http-judge", "/asked/*"))
            .await;
        place
            .apply(custom("told", "asked-by-grpc", "grpc-judge", "/asked/*"))
            .await;
        let no = ["x-verdict: no".to_owned()];
        let requests = json!([
            get("/asked/a", &[]),
            get("/asked/a", &no),
            get("/free", &no),
        ]);
        let urls = ["http://echo:8080", "http://told:8080"];
        for url in urls {
            answers(place, "web", url, &requests, &json!([200, 403, 200])).await;
        }
        for judge in ["judge", "decider"] {
            place.scale(judge, 0).await;
        }
        for url in urls {
            answers(place, "web", url, &requests, &json!([403, 403, 200])).await;
        }
        for judge in ["judge", "decider"] {
            place.scale(judge, 1).await;
            place.rolled_out(judge).await;
        }
        for url in urls {
            answers(place, "web", url, &requests, &json!([200, 403, 200])).await;
        }
        audited(place).await;

        // A provider that nobody knows closes what is asked of it, and with it what others decide.
        place
            .apply(custom("echo", "lost", "nobody", "/lost/*"))
            .await;
        let requests = json!([get("/asked/a", &[]), get("/lost/a", &[]), get("/free", &[])]);
        answers(place, "web", urls[0], &requests, &json!([403, 403, 200])).await;
    })
    .await;
    mesh::restore(&client).await;
}

/// What a policy of action AUDIT holds of passes, and the access log says that it was to be recorded.
async fn audited(place: &Namespace) {
    place
        .apply(policy("echo", "recorded", "AUDIT", "/audited/*"))
        .await;
    place
        .apply(json!({
            "apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry", "metadata": {"name": "records"},
            "spec": {"selector": {"matchLabels": {"app": "echo"}},
                "accessLogging": [{"providers": [{"name": "records"}]}]},
        }))
        .await;
    let requests = json!([get("/audited/a", &[]), get("/free", &[])]);
    let (found, _) = eventually(&place.client, "a record of the audit", 60, || async {
        answers(
            place,
            "web",
            "http://echo:8080",
            &requests,
            &json!([200, 200]),
        )
        .await;
        let found = records(place, "echo").await;
        let is_there = |line: &str| found.iter().any(|own| own == line);
        match is_there("true /audited/a") {
            true => Ok(found),
            false => Err(format!("{found:?}")),
        }
    })
    .await;
    let wrong: Vec<&String> = found
        .iter()
        .filter(|line| line.starts_with("true ") && !line.ends_with(" /audited/a"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
