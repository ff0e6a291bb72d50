//! holdApplicationUntilProxyStarts: the first request of a program works, however early it comes.

use e2e::{
    cluster, eventually::eventually, mesh, namespace, namespace::Namespace, workload,
    workload::Workload,
};
use kube::ResourceExt;

/// Pods per restart, and restarts.
const PODS: u32 = 4;
const RESTARTS: u32 = 5;

/// What the programs in all pods of the Deployment got for their first request.
async fn first_lines(place: &Namespace) -> Vec<String> {
    place.rolled_out("first").await;
    let pods = place.pods_of("first").await;
    assert_eq!(pods.len(), PODS as usize);
    let mut lines = Vec::new();
    for pod in pods.iter().map(ResourceExt::name_any) {
        let (line, _) = eventually(&place.client, &format!("{pod} asked"), 20, || async {
            let log = place.log(&pod, workload::CONTAINER).await;
            let line = log.lines().find(|line| line.starts_with("first: "));
            line.map(str::to_owned).ok_or(log)
        })
        .await;
        lines.push(line);
    }
    lines
}

/// Restarts clients that ask at once, again and again.
async fn restarts(place: &Namespace, form: impl Fn(Workload) -> Workload) {
    place.deploy(&[Workload::echo("echo", "v1")]).await;
    let first = form(Workload::first("first", "http://echo:8080/").replicas(PODS));
    place.deploy(std::slice::from_ref(&first)).await;
    for restart in 1..=RESTARTS {
        place.restart("first").await;
        let lines = first_lines(place).await;
        assert!(
            lines.iter().all(|line| line == "first: 200"),
            "restart {restart}: {lines:?}"
        );
    }
    println!("{} first requests worked", PODS * RESTARTS);
}

#[tokio::test]
async fn no_first_request_fails_beside_a_native_sidecar() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "hold-native", async |place| {
        restarts(place, |workload| workload).await;
    })
    .await;
}

#[tokio::test]
async fn no_first_request_fails_beside_a_classic_sidecar() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "hold-classic", async |place| {
        restarts(place, Workload::classic).await;
        // The setting is what does it: without it the same programs are too early.
        let early = Workload::first("first", "http://echo:8080/")
            .replicas(PODS)
            .classic()
            .annotation(
                "proxy.istio.io/config",
                "holdApplicationUntilProxyStarts: false",
            );
        place.apply(early.deployment()).await;
        let lines = first_lines(place).await;
        assert!(lines.iter().any(|line| line != "first: 200"), "{lines:?}");
        println!("not held: {lines:?}");
    })
    .await;
}
