//! The API server is away for a minute, at first silent and then gone: what runs goes on, nothing is started anew, and
//! all heals by itself when it is back.

use std::time::Duration;

use e2e::namespace::Namespace;
use e2e::node::Process;
use e2e::{
    audit, cluster, eventually::eventually, http, load, mesh, namespace, operator,
    workload::Workload,
};
use kube::api::DeleteParams;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::outage::{answers, starts};
use crate::writes::by_operator;

const URL: &str = "http://echo:8080/";
/// Connections stay open and nobody answers.
const SILENT: Duration = Duration::from_secs(20);
/// Connections are refused.
const GONE: Duration = Duration::from_secs(40);

/// A pod that sends for as long as everything takes and then says what became of it: nobody can ask it meanwhile.
fn sender(place: &Namespace) -> Value {
    let arguments = [
        "--url",
        URL,
        "--rate",
        "100",
        "--concurrency",
        "4",
        "--duration",
        "90s",
    ];
    let mut pod = Workload::role("sender", "load", &arguments).pod();
    pod["spec"]["restartPolicy"] = json!("Never");
    pod["metadata"]["namespace"] = json!(place.name);
    pod
}

/// Pages of this machine's own programs and the cluster's that have to answer all the while.
async fn pages(client: &Client) -> Vec<(String, &'static str)> {
    let place = operator::place(client).await;
    let mut pages = Vec::new();
    let address = |pod: &k8s_openapi::api::core::v1::Pod, port: u16| {
        let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        format!("{}:{port}", ip.expect("an address"))
    };
    for pod in place
        .pods_by("app.kubernetes.io/name", operator::NAME)
        .await
    {
        pages.push((address(&pod, 8080), "/healthz"));
    }
    for pod in place.sibling(mesh::NAMESPACE).pods_of("istiod").await {
        pages.push((address(&pod, 8080), "/ready"));
    }
    pages.push((
        format!("{}:15021", mesh::ingress(client).await),
        "/healthz/ready",
    ));
    pages
}

/// Asks for every page again and again until then; what did not answer with 200.
async fn asked(pages: &[(String, &'static str)], until: Instant) -> Vec<String> {
    let mut failed = Vec::new();
    while Instant::now() < until {
        for (address, path) in pages {
            match http::get(address, "anyone", path).await {
                Ok(answer) if answer.status == 200 => {}
                other => failed.push(format!("{address}{path}: {other:?}")),
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
    failed
}

/// The API server is back.
async fn back(client: &Client) -> Duration {
    let (_, took) = eventually(client, "the API server answers", 60, || async {
        let version = client.apiserver_version().await;
        version.map(drop).map_err(|error| error.to_string())
    })
    .await;
    took
}

#[tokio::test]
async fn a_minute_without_the_api_server_stops_nothing_and_heals_by_itself() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    mesh::wait_until_healthy(&client).await;
    namespace::injected(&client, "apiserver", async |place| {
        place
            .deploy(&[
                Workload::echo("echo", "v1").replicas(2),
                Workload::client("client"),
            ])
            .await;
        answers(place, "client", URL, "200").await;
        place
            .apply(Workload::role("sender", "load", &[]).account())
            .await;
        cluster::apply(&client, sender(place)).await.expect("a pod");
        eventually(&client, "the sender runs", 60, || async {
            let pod = place
                .pods()
                .get("sender")
                .await
                .map_err(|error| error.to_string())?;
            e2e::diagnose::ready(&pod)
                .then_some(())
                .ok_or("not ready".to_owned())
        })
        .await;
        let place_of_operator = operator::place(&client).await;
        let control_plane = place.sibling(mesh::NAMESPACE);
        let places = [&place_of_operator, &control_plane, place];
        let mut before = Vec::new();
        for place in places {
            before.push(starts(place).await);
        }
        let pages = pages(&client).await;
        let mark = audit::mark();

        let server = Process::program("kube-apiserver");
        let begin = Instant::now();
        let supervisor = server.supervisor().hold();
        let still = server.hold();
        let mut failed = asked(&pages, begin + SILENT).await;
        server.end();
        drop(still);
        failed.extend(asked(&pages, begin + SILENT + GONE).await);
        drop(supervisor);
        println!("the API server was away for {:?}", begin.elapsed());
        println!("it answers {:?} later", back(&client).await);
        // Programs of Kubernetes wait up to a minute until they try again; a new one does not.
        for name in [
            "kubelet",
            "kube-scheduler",
            "kube-controller-manager",
            "kube-proxy",
        ] {
            Process::program(name).end();
        }
        assert!(failed.is_empty(), "{failed:#?}");

        // The operator works: what is deleted comes back. It had lost its Lease.
        let budgets = cluster::dynamic(
            &client,
            "policy/v1",
            "PodDisruptionBudget",
            Some(mesh::NAMESPACE),
        );
        let old = budgets.get("istiod").await.expect("a budget").uid();
        budgets
            .delete("istiod", &DeleteParams::default())
            .await
            .expect("it can be deleted");
        let (_, took) = eventually(&client, "drift is repaired", 40, || async {
            let now = budgets
                .get_opt("istiod")
                .await
                .map_err(|error| error.to_string())?;
            match now {
                Some(now) if now.uid() != old => Ok(()),
                _ => Err("the budget is not back".to_owned()),
            }
        })
        .await;
        println!("drift was repaired after {took:?}");
        mesh::wait_until_healthy(&client).await;
        // The control plane works: what is written reaches proxies, once its watches have waited out their backoff.
        place.apply(abort()).await;
        let (_, took) = eventually(&client, "proxies are told", 90, || async {
            let status = load::once(place, "client", "http://echo:8080/changed").await?;
            (status == "418").then_some(()).ok_or(status)
        })
        .await;
        println!("a change reached a proxy after {took:?}");
        // What is new starts, and joins the mesh.
        let begin = Instant::now();
        place.deploy(&[Workload::client("late")]).await;
        answers(place, "late", URL, "200").await;
        println!("a new pod takes part after {:?}", begin.elapsed());

        let (report, _) = eventually(&client, "the sender is done", 90, || async {
            let log = place.log("sender", e2e::workload::CONTAINER).await;
            load::Load::parse(&log)
        })
        .await;
        println!(
            "{} requests meanwhile, p99 {} ms",
            report.sent, report.p99_ms
        );
        assert!(report.is_clean() && report.sent > 5000, "{report:?}");
        // Names of Services that are new are found at once again, for the cases that follow. Not before: known names
        // are not found for a moment.
        Process::program("coredns").end();
        answers(place, "late", URL, "200").await;
        for (place, before) in places.into_iter().zip(before) {
            let after = starts(place).await;
            for (pod, started) in &before {
                assert_eq!(after.get(pod), Some(started), "{pod} was started again");
            }
        }
        let known = [
            "/poddisruptionbudgets/istiod",
            "/istiooperators/",
            "/events",
            "/configmaps/istio-operator-inventory-",
        ];
        let mut written = by_operator(&client, mark).await;
        written.retain(|write| !known.iter().any(|part| write.uri.contains(part)));
        assert!(
            written.is_empty(),
            "the way back took other writes: {written:#?}"
        );
    })
    .await;
    mesh::wait_until_healthy(&client).await;
}

fn abort() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "echo"},
        "spec": {"hosts": ["echo"], "http": [
            {
                "match": [{"uri": {"exact": "/changed"}}],
                "fault": {"abort": {"httpStatus": 418, "percentage": {"value": 100}}},
                "route": [{"destination": {"host": "echo"}}],
            },
            {"route": [{"destination": {"host": "echo"}}]},
        ]},
    })
}
