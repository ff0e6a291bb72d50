//! What is true of a control plane that the operator hosts; not run where istiod has a Deployment. What its replicas
//! take up anew they take up one after the other.

use std::time::{Duration, Instant};

use e2e::argocd::Health;
use e2e::installation::Installation;
use e2e::namespace::Namespace;
use e2e::{cluster, eventually::eventually, http, mesh, operator};
use kube::api::ListParams;
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;

/// How often each replica is asked whether it serves, and how long it may take to say so.
const PERIOD: Duration = Duration::from_millis(100);
const ANSWER: Duration = Duration::from_secs(5);

/// From when to when somebody was certainly not there: from the first answer that failed to the last question of which
/// the answer failed.
type Gap = (Instant, Instant);

/// Whether the control plane in a replica serves.
async fn serves(address: &str) -> bool {
    let answer = http::get(address, "istiod", "/ready");
    let answer = tokio::time::timeout(ANSWER, answer).await;
    matches!(answer, Ok(Ok(answer)) if answer.status == 200)
}

/// Asks a replica again and again until `end`; tells when its control plane did not serve.
async fn gaps(address: String, end: watch::Receiver<bool>) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    let mut gap: Option<Gap> = None;
    while !*end.borrow() {
        let asked = Instant::now();
        if serves(&address).await {
            gaps.extend(gap.take());
        } else {
            let answered = Instant::now();
            let first = gap.map_or(answered, |(first, _)| first);
            gap = Some((first, asked));
        }
        tokio::time::sleep(PERIOD).await;
    }
    gaps.extend(gap);
    // One question alone proves no time.
    gaps.retain(|(from, to)| from < to);
    gaps
}

/// How many addresses behind Service istiod are ready.
async fn behind_service(client: &Client) -> Result<usize, String> {
    let slices = cluster::dynamic(
        client,
        "discovery.k8s.io/v1",
        "EndpointSlice",
        Some(mesh::NAMESPACE),
    );
    let of_service = ListParams::default().labels("kubernetes.io/service-name=istiod");
    let slices = slices.list(&of_service).await;
    let slices = slices.map_err(|error| error.to_string())?.items;
    // One slice for each family of addresses, with the same pods.
    let ready = slices.iter().map(|slice| {
        let all = slice.data["endpoints"].as_array().into_iter().flatten();
        all.filter(|endpoint| endpoint["conditions"]["ready"] == true)
            .count()
    });
    Ok(ready.max().unwrap_or_default())
}

/// The fewest that were ready at any time until `end`.
async fn fewest(client: Client, end: watch::Receiver<bool>) -> usize {
    let mut fewest = usize::MAX;
    while !*end.borrow() {
        if let Ok(count) = behind_service(&client).await {
            fewest = fewest.min(count);
        }
        tokio::time::sleep(PERIOD).await;
    }
    fewest
}

/// How often the control plane was started in each replica.
async fn starts(place: &Namespace, pods: &[String]) -> Vec<usize> {
    let mut starts = Vec::new();
    for pod in pods {
        let log = operator::log(place, pod).await;
        starts.push(log.matches("is hosted here").count());
    }
    starts
}

#[tokio::test]
async fn replicas_take_up_a_change_one_after_the_other() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let installation = Installation::sample(&client);
    operator::with_replicas(&client, 2, async |place| {
        installation.until(60, Health::Healthy, |_| true).await;
        eventually(&client, "both are behind Service istiod", 30, || async {
            let ready = behind_service(&client).await?;
            (ready == 2).then_some(()).ok_or(format!("{ready}"))
        })
        .await;
        let pods = place
            .pods_by("app.kubernetes.io/name", operator::NAME)
            .await;
        let names: Vec<_> = pods.iter().map(ResourceExt::name_any).collect();
        let addresses = pods.iter().map(|pod| {
            let status = pod.status.as_ref();
            let address = status.and_then(|status| status.pod_ip.clone());
            format!("{}:8080", address.expect("an address"))
        });
        let addresses: Vec<_> = addresses.collect();
        let (end, ends) = watch::channel(false);
        let asked: Vec<_> = addresses
            .iter()
            .map(|address| tokio::spawn(gaps(address.clone(), ends.clone())))
            .collect();
        let counted = tokio::spawn(fewest(client.clone(), ends));

        // Once there and once back, so that the sample is what it was.
        let mut changed = mesh::sample();
        changed["values"]["pilot"]["keepaliveMaxServerConnectionAge"] = json!("31m");
        for spec in [changed, mesh::sample()] {
            let before = starts(place, &names).await;
            let wanted: Vec<_> = before.iter().map(|count| count + 1).collect();
            let begin = Instant::now();
            installation.apply(spec).await;
            eventually(&client, "both have started anew", 90, || async {
                let now = starts(place, &names).await;
                if now != wanted {
                    return Err(format!("{now:?}, expected {wanted:?}"));
                }
                for address in &addresses {
                    if !serves(address).await {
                        return Err(format!("{address} does not serve yet"));
                    }
                }
                Ok(())
            })
            .await;
            installation.until(60, Health::Healthy, |_| true).await;
            println!("both have started anew after {:?}", begin.elapsed());
        }
        end.send_replace(true);
        let mut away = Vec::new();
        for task in asked {
            away.push(task.await.expect("it was asked"));
        }
        let lengths =
            |gaps: &[Gap]| -> Vec<_> { gaps.iter().map(|(from, to)| *to - *from).collect() };
        println!("away: {:?} and {:?}", lengths(&away[0]), lengths(&away[1]));
        for gap in &away[0] {
            let other = away[1]
                .iter()
                .find(|other| gap.0 < other.1 && other.0 < gap.1);
            assert!(other.is_none(), "both were away at once: {away:?}");
        }
        let fewest = counted.await.expect("it was counted");
        assert!(fewest >= 1, "Service istiod had nobody behind it");
    })
    .await;
    mesh::wait_until_healthy(&client).await;
}
