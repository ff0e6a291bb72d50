//! The control plane goes away and comes back: what runs goes on, what is new is refused with a reason,
//! and all heals without a restart.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::{
    cluster, eventually::eventually, load, mesh, namespace, namespace::Namespace, sidecar,
    workload, workload::Workload,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};

const KNOWN: &str = "http://known:8080/";
const LATE: &str = "http://late:8080/";

/// Deletes istiod's Deployment under a paused operator and waits until its pods are gone.
pub(crate) async fn take_istiod_away(client: &kube::Client) {
    mesh::pause(client, true).await;
    let deployments = cluster::dynamic(client, "apps/v1", "Deployment", Some(mesh::NAMESPACE));
    deployments
        .delete("istiod", &DeleteParams::default())
        .await
        .expect("istiod can be deleted");
    let pods: Api<Pod> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    eventually(client, "istiod's pods are gone", 60, || async {
        let left = pods.list(&ListParams::default().labels("app=istiod")).await;
        match left.map_err(|error| error.to_string())?.items.len() {
            0 => Ok(()),
            left => Err(format!("{left} left")),
        }
    })
    .await;
    assert!(
        deployments
            .get_opt("istiod")
            .await
            .expect("an answer")
            .is_none(),
        "a paused operator brought istiod back"
    );
}

/// Uid and number of starts of every container, of every pod.
pub(crate) async fn starts(place: &Namespace) -> BTreeMap<String, (Option<String>, i32)> {
    let pods = place
        .pods()
        .list(&ListParams::default())
        .await
        .expect("pods can be listed");
    let entry = |pod: &Pod| {
        let status = pod.status.clone().unwrap_or_default();
        let first = status.init_container_statuses.into_iter().flatten();
        let all = first.chain(status.container_statuses.into_iter().flatten());
        (
            pod.name_any(),
            (
                pod.uid(),
                all.map(|container| container.restart_count).sum(),
            ),
        )
    };
    pods.iter().map(entry).collect()
}

pub(crate) async fn answers(place: &Namespace, app: &str, url: &str, expected: &str) {
    eventually(
        &place.client,
        &format!("{expected} for {app} from {url}"),
        30,
        || async {
            let status = load::once(place, app, url).await?;
            (status == expected).then_some(()).ok_or(status)
        },
    )
    .await;
}

#[tokio::test]
async fn what_runs_goes_on_without_istiod_and_all_heals_when_it_is_back() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    namespace::injected(&client, "outage", async |place| {
        place
            .deploy(&[
                Workload::echo("known", "v1").replicas(2),
                // A Service without a pod, so far.
                Workload::echo("late", "v1").plain().replicas(0),
                Workload::client("old"),
                Workload::client("outside").plain(),
            ])
            .await;
        answers(place, "old", KNOWN, "200").await;
        answers(place, "old", LATE, "503").await;
        let before = starts(place).await;
        let steady = load::Steady::begin(
            place,
            "old",
            KNOWN,
            &["--rate", "100", "--concurrency", "4"],
        );
        let ingress = format!("{}:15021", mesh::ingress(&client).await);

        take_istiod_away(&client).await;

        // A new pod in the injected namespace is refused, and the refusal says by whom and why.
        let refused = Workload::client("refused");
        place.apply(refused.account()).await;
        let pod: Pod = serde_json::from_value(refused.pod()).expect("a pod");
        let error = place
            .pods()
            .create(&PostParams::default(), &pod)
            .await
            .expect_err("it is refused");
        let kube::Error::Api(status) = error else {
            panic!("not the API server's answer: {error}")
        };
        let message = status.message;
        println!("{message}");
        for part in [
            "failed calling webhook",
            "namespace.sidecar-injector.istio.io",
            "istiod",
        ] {
            assert!(message.contains(part), "no {part:?} in: {message}");
        }
        assert!(
            ["no endpoints available for service", "connection refused"]
                .iter()
                .any(|why| message.contains(why)),
            "no reason in: {message}"
        );

        // An endpoint that the old pod does not know: whoever asks Kubernetes itself reaches it.
        place.scale("late-v1", 1).await;
        place.rolled_out("late-v1").await;
        answers(place, "outside", LATE, "200").await;
        answers(place, "old", LATE, "503").await;
        let from = place.pod_of("old").await;
        let (lines, _) = eventually(&client, "the 503 and its flag", 20, || {
            sidecar::access_log(place, &from, [" 503 UH ", "late:8080"])
        })
        .await;
        println!("{}", lines[lines.len() - 1]);
        let target = format!("late:{}", workload::TCP);
        let outside = place
            .run(
                "outside",
                &["tcp", "--to", &target, "--line", "are you there"],
            )
            .await
            .expect("it runs");
        assert!(outside.stdout.starts_with("hello "), "{outside:?}");
        let old = place
            .run(
                "old",
                &[
                    "tcp",
                    "--to",
                    &target,
                    "--line",
                    "are you there",
                    "--timeout",
                    "5s",
                ],
            )
            .await
            .expect("it runs");
        println!("TCP: {}", old.stdout.trim());
        // Envoy ends the connection before a byte comes; it is the kernel that calls this a reset, when it
        // finds that something was on its way.
        let ended = ["closed", "reset"]
            .iter()
            .any(|end| old.stdout.contains(end));
        assert!(!old.success && ended, "{old:?}");
        eventually(&client, "the connection and its flag", 20, || {
            sidecar::access_log(place, &from, [" UH ", "outbound|9000||late."])
        })
        .await;

        // Long enough for everything that asks the control plane now and then to have asked.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let gateway = e2e::http::get(&ingress, "gateway", "/healthz/ready")
            .await
            .expect("an answer");
        assert_eq!(gateway.status, 200, "{gateway:?}");

        mesh::pause(&client, false).await;
        let took = place.sibling(mesh::NAMESPACE).rolled_out("istiod").await;
        println!("istiod is available again after {took:?}");
        answers(place, "old", LATE, "200").await;
        eventually(&client, "a new pod is admitted", 30, || async {
            let created = place.pods().create(&PostParams::default(), &pod).await;
            created.map(drop).map_err(|error| error.to_string())
        })
        .await;
        eventually(&client, "the new pod serves its client", 30, || async {
            let status = load::once(place, "refused", KNOWN).await?;
            (status == "200").then_some(()).ok_or(status)
        })
        .await;

        let load = steady.end().await;
        println!(
            "{} requests during the outage, p99 {} ms",
            load.sent, load.p99_ms
        );
        assert!(load.is_clean(), "{load:?}");
        let after = starts(place).await;
        for (pod, started) in &before {
            assert_eq!(after.get(pod), Some(started), "{pod} was started again");
        }
    })
    .await;
    mesh::wait_until_healthy(&client).await;
}
