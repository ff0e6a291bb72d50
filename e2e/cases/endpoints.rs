//! A pod that becomes ready is in every sidecar before its first second is over.

use std::time::{Duration, Instant};

use e2e::{cluster, diagnose, mesh, namespace, namespace::Namespace, sidecar, workload::Workload};
use futures::{StreamExt, TryStreamExt, future};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{WatchEvent, WatchParams};

const SIDECARS: u32 = 4;
const TIMES: u32 = 5;
/// For the last of the sidecars, each of [`TIMES`] but one: two cores may be busy with something else.
const LIMIT: Duration = Duration::from_secs(1);

/// The address of a pod of echo that becomes ready and is not in `known`, and when that was seen.
async fn next_ready(place: &Namespace, known: &[String]) -> (String, Instant) {
    let pods = place.pods();
    let parameters = WatchParams::default().labels("app=echo");
    let watch = async {
        let events = pods
            .watch(&parameters, "0")
            .await
            .expect("pods can be watched");
        let ready = events.try_filter_map(|event| {
            let pod: Option<Pod> = match event {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => Some(pod),
                _ => None,
            };
            let found = pod.filter(|pod| diagnose::ready(pod) && !known.contains(&pod.name_any()));
            let address = found.and_then(|pod| pod.status?.pod_ip);
            future::ready(Ok(address.map(|address| (address, Instant::now()))))
        });
        std::pin::pin!(ready)
            .next()
            .await
            .expect("the watch goes on")
            .expect("an event")
    };
    tokio::time::timeout(Duration::from_secs(60), watch)
        .await
        .expect("a new pod is ready within 60 s")
}

/// When the sidecar was first seen to know the endpoint.
async fn known_at(place: &Namespace, pod: &str, endpoint: &str) -> Result<Instant, String> {
    let begin = Instant::now();
    loop {
        let clusters = sidecar::admin(place, pod, "/clusters").await?;
        let seen = Instant::now();
        let mut lines = clusters.lines();
        if lines.any(|line| line.starts_with("outbound|8080||echo.") && line.contains(endpoint)) {
            return Ok(seen);
        }
        if begin.elapsed() > Duration::from_secs(15) {
            let echo: Vec<_> = clusters
                .lines()
                .filter(|line| line.contains("||echo."))
                .collect();
            return Err(format!("{pod} does not know {endpoint}: {echo:#?}"));
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

#[tokio::test]
async fn a_ready_pod_is_in_every_sidecar_within_a_second() {
    let client = cluster::client().await;
    // Alone: other cases would be measured too.
    let _mesh = mesh::exclusive(&client).await;
    namespace::injected(&client, "endpoints", async |place| {
        place
            .deploy(&[
                Workload::echo("echo", "v1"),
                Workload::client("client").replicas(SIDECARS),
            ])
            .await;
        let sidecars: Vec<_> = place
            .pods_of("client")
            .await
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        assert_eq!(sidecars.len(), SIDECARS as usize);
        let mut slowest = Vec::new();
        for time in 1..=TIMES {
            let known: Vec<_> = place
                .pods_of("echo")
                .await
                .iter()
                .map(ResourceExt::name_any)
                .collect();
            place.scale("echo-v1", 1 + time).await;
            let (address, ready) = next_ready(place, &known).await;
            let endpoint = format!("::{address}:8080::");
            let seen =
                future::try_join_all(sidecars.iter().map(|pod| known_at(place, pod, &endpoint)))
                    .await;
            let seen = seen.unwrap_or_else(|reason| panic!("{reason}"));
            let after: Vec<_> = seen.iter().map(|seen| seen.duration_since(ready)).collect();
            println!("{address} in {SIDECARS} sidecars after {after:?}");
            slowest.extend(after.into_iter().max());
        }
        println!("the slowest sidecar of each time: {slowest:?}");
        let late = slowest.iter().filter(|after| **after >= LIMIT).count();
        assert!(late <= 1, "{slowest:?}");
    })
    .await;
}
