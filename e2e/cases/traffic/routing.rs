//! Which version answers, by header, path and weight; mirrors, faults, retries and timeouts; and that nothing is
//! left of rules that are deleted.

use e2e::{
    cluster, configuration, eventually::eventually, load, mesh, namespace, namespace::Namespace,
    sidecar, workload::Workload,
};
use serde_json::{Value, json};

use super::{CLIENT, NETWORKING, all_from, all_with, alone, becomes, rule, seen, subsets, to};

const URL: &str = "http://echo:8080";

fn at(path: &str) -> String {
    format!("{URL}{path}")
}

fn destination_rule() -> Value {
    let spec = json!({"host": "echo", "subsets": subsets(&["v1", "v2", "v3"])});
    rule("DestinationRule", "echo", spec)
}

fn all_to(version: &str) -> Value {
    let tcp = json!([{"route": to("echo", version)}]);
    let spec = json!({"hosts": ["echo"], "http": [{"route": to("echo", version)}], "tcp": tcp});
    rule("VirtualService", "echo", spec)
}

/// A route for each path, and v1 for all others.
fn everything() -> Value {
    let jason = json!({"end-user": {"exact": "jason"}});
    let prefix = |path: &str| json!([{"uri": {"prefix": path}}]);
    let of_jason = |path: &str| json!([{"uri": {"prefix": path}, "headers": jason}]);
    let whole = json!({"value": 100});
    let http = json!([
        {"match": prefix("/shop/"), "rewrite": {"uri": "/"}, "route": to("echo", "v3"),
         "headers": {"request": {"set": {"x-set": "by the rule"}}, "response": {"add": {"x-added": "by the rule"}}}},
        {"match": prefix("/weighted"), "route": [
            {"destination": {"host": "echo", "subset": "v1"}, "weight": 50},
            {"destination": {"host": "echo", "subset": "v3"}, "weight": 50},
        ]},
        {"match": prefix("/mirrored"), "route": to("echo", "v1"),
         "mirror": {"host": "echo", "subset": "v2"}, "mirrorPercentage": whole},
        {"match": of_jason("/delayed"), "route": to("echo", "v1"),
         "fault": {"delay": {"fixedDelay": "1s", "percentage": whole}}},
        {"match": of_jason("/aborted"), "route": to("echo", "v1"),
         "fault": {"abort": {"httpStatus": 555, "percentage": whole}}},
        {"match": prefix("/retried"), "route": to("echo", "v1"),
         "retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx"}},
        {"match": prefix("/once"), "route": to("echo", "v1"), "retries": {"attempts": 0}},
        {"match": prefix("/impatient"), "route": to("echo", "v1"), "timeout": "0.5s"},
        {"match": [{"uri": {"exact": "/moved"}}], "redirect": {"uri": "/elsewhere", "redirectCode": 302}},
        {"match": [{"headers": jason}], "route": to("echo", "v2")},
        {"route": to("echo", "v1")},
    ]);
    let tcp = json!([{"route": to("echo", "v2")}]);
    rule(
        "VirtualService",
        "echo",
        json!({"hosts": ["echo"], "http": http, "tcp": tcp}),
    )
}

#[tokio::test]
async fn requests_go_where_rules_send_them_and_nothing_is_left_of_rules_that_go() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "traffic-routing", async |place| {
        place.apply(alone()).await;
        let echo = |version| Workload::echo("echo", version);
        let workloads = [echo("v1"), echo("v2"), echo("v3"), Workload::client(CLIENT)];
        place.deploy(&workloads).await;
        let from = place.pod_of(CLIENT).await;
        let first = configuration::settled(place, &from).await;

        place.apply(destination_rule()).await;
        place.apply(all_to("v3")).await;
        becomes(
            place,
            "all to v3",
            &at("/"),
            &["--requests", "30"],
            all_from("v3"),
        )
        .await;
        greeting(place, "v3").await;

        place.apply(everything()).await;
        let jason = ["--requests", "20", "--header", "end-user:jason"];
        becomes(place, "jason gets v2", &at("/"), &jason, all_from("v2")).await;
        becomes(
            place,
            "others get v1",
            &at("/"),
            &["--requests", "20"],
            all_from("v1"),
        )
        .await;
        greeting(place, "v2").await;
        paths_and_weights(place).await;
        mirrored(place).await;
        faults(place).await;
        retries_and_timeouts(place).await;

        place.delete(NETWORKING, "VirtualService", "echo").await;
        place.delete(NETWORKING, "DestinationRule", "echo").await;
        let spread = |load: &load::Load| load.is_clean() && load.versions.len() == 3;
        becomes(
            place,
            "all versions again",
            &at("/"),
            &["--requests", "60"],
            spread,
        )
        .await;
        configuration::is_again(place, &from, &first).await;
    })
    .await;
}

async fn greeting(place: &Namespace, version: &str) {
    let what = format!("TCP goes to {version}");
    eventually(&place.client, &what, 20, || async {
        let command = [
            "tcp",
            "--to",
            "echo:9000",
            "--line",
            "are you there",
            "--timeout",
            "5s",
        ];
        let output = place.run(CLIENT, &command).await?;
        let greeting = output.stdout.lines().next().unwrap_or_default();
        let greeted = greeting.starts_with("hello ") && greeting.ends_with(version);
        greeted.then_some(()).ok_or(format!("{output:?}"))
    })
    .await;
}

async fn paths_and_weights(place: &Namespace) {
    let (body, said) = seen(place, &at("/shop/basket"), &[])
        .await
        .expect("an answer");
    assert_eq!(body["version"], "v3", "{body}");
    assert_eq!(body["path"], "/basket", "{body}");
    assert_eq!(body["headers"]["x-set"], "by the rule", "{body}");
    assert!(said.contains("x-added: by the rule"), "{said}");

    let many = ["--requests", "1000", "--concurrency", "4"];
    let load = load::load(place, CLIENT, &at("/weighted"), &many)
        .await
        .expect("it runs");
    let share = load.versions.get("v3").copied().unwrap_or_default() as f64 / 10.0;
    println!("of 50:50, v3 got {share} %");
    assert!(
        load.is_clean() && !load.versions.contains_key("v2"),
        "{load:?}"
    );
    assert!((share - 50.0).abs() <= 7.0, "{load:?}");

    let moved = place
        .run(CLIENT, &["get", "--url", &at("/moved")])
        .await
        .expect("it runs");
    let said = moved.stderr;
    assert!(
        said.starts_with("status: 302") && said.contains("/elsewhere"),
        "{said}"
    );
}

async fn mirrored(place: &Namespace) {
    let load = load::load(place, CLIENT, &at("/mirrored"), &["--requests", "5"]).await;
    let load = load.expect("it runs");
    assert!(all_from("v1")(&load), "{load:?}");
    let pods = place.pods_of("echo").await;
    let shadow = pods.iter().find(|pod| {
        let labels = pod.metadata.labels.as_ref();
        labels.is_some_and(|labels| labels.get("version").is_some_and(|version| version == "v2"))
    });
    let shadow = shadow
        .and_then(|pod| pod.metadata.name.clone())
        .expect("a pod of v2");
    eventually(&place.client, "v2 sees what v1 answered", 20, || async {
        let lines = sidecar::access_log(place, &shadow, ["/mirrored"]).await?;
        (lines.len() == 5)
            .then_some(())
            .ok_or(format!("{lines:#?}"))
    })
    .await;
}

async fn faults(place: &Namespace) {
    let jason = ["--header", "end-user:jason"];
    let delayed = load::load(place, CLIENT, &at("/delayed"), &jason)
        .await
        .expect("it runs");
    assert!(
        delayed.is_clean() && delayed.p99_ms >= 1000.0,
        "{delayed:?}"
    );
    let others = load::load(place, CLIENT, &at("/delayed"), &[])
        .await
        .expect("it runs");
    assert!(others.is_clean() && others.p99_ms < 900.0, "{others:?}");
    let aborted = load::load(place, CLIENT, &at("/aborted"), &jason)
        .await
        .expect("it runs");
    assert!(all_with("555")(&aborted), "{aborted:?}");
    let others = load::load(place, CLIENT, &at("/aborted"), &[])
        .await
        .expect("it runs");
    assert!(others.is_clean(), "{others:?}");
}

async fn retries_and_timeouts(place: &Namespace) {
    let (body, said) = seen(place, &at("/retried?fails=2&name=retried"), &[])
        .await
        .expect("an answer");
    assert!(said.starts_with("status: 200"), "{said}");
    assert_eq!(body["headers"]["x-envoy-attempt-count"], "3", "{body}");
    let once = load::once(place, CLIENT, &at("/once?fails=1&name=once")).await;
    assert_eq!(once.as_deref(), Ok("503"));
    let late = load::load(place, CLIENT, &at("/impatient?delay=3s"), &[])
        .await
        .expect("it runs");
    assert!(all_with("504")(&late), "{late:?}");
    assert!((450.0..2500.0).contains(&late.p99_ms), "{late:?}");
}
