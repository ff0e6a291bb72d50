//! Which endpoint of a service answers: the one that a session sticks to, the near one, one that is well, and none
//! that is full.

use e2e::{
    cluster, configuration, eventually::eventually, load::Load, mesh, namespace,
    namespace::Namespace, workload::Workload,
};
use serde_json::{Value, json};

use super::{CLIENT, NETWORKING, all_from, alone, becomes, rule, seen};

const ECHO: &str = "http://echo:8080/";
const FLAKY: &str = "http://flaky:8080/";
const TWENTY: [&str; 2] = ["--requests", "20"];

fn policy(host: &str, policy: Value) -> Value {
    rule(
        "DestinationRule",
        host,
        json!({"host": host, "trafficPolicy": policy}),
    )
}

fn sticky(by: Value) -> Value {
    policy("echo", json!({"loadBalancer": {"consistentHash": by}}))
}

/// Whether one endpoint answered all of several requests.
fn one(load: &Load) -> bool {
    load.sent > 1 && load.is_clean() && load.versions.len() == 1
}

fn answered(load: &Load) -> String {
    load.versions.keys().next().cloned().unwrap_or_default()
}

#[tokio::test]
async fn the_right_endpoint_answers() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "traffic-balancing", async |place| {
        place.apply(alone()).await;
        let echo = |version: &str, locality| {
            Workload::echo("echo", version).label("istio-locality", locality)
        };
        let workloads = [
            echo("near", "here.a.1"),
            echo("beside", "here.b.1"),
            echo("far", "there.a.1"),
            Workload::echo("flaky", "good"),
            Workload::echo("flaky", "bad").argument("--status=500"),
            Workload::client(CLIENT).label("istio-locality", "here.a.1"),
        ];
        place.deploy(&workloads).await;
        let from = place.pod_of(CLIENT).await;
        let first = configuration::settled(place, &from).await;
        let spread = |load: &Load| load.is_clean() && load.versions.len() == 3;
        becomes(place, "all answer", ECHO, &["--requests", "60"], spread).await;

        sessions(place).await;
        full(place).await;
        unwell(place).await;
        place.delete(NETWORKING, "DestinationRule", "echo").await;
        place.delete(NETWORKING, "DestinationRule", "flaky").await;
        configuration::is_again(place, &from, &first).await;
        near(place).await;
    })
    .await;
}

async fn sessions(place: &Namespace) {
    place
        .apply(sticky(json!({"httpHeaderName": "x-user"})))
        .await;
    // All of one user's requests go to one endpoint; that of another user may be another.
    let mut found = std::collections::BTreeSet::new();
    for user in 0..8 {
        let header = format!("x-user:{user}");
        let arguments = ["--requests", "20", "--header", &header];
        let what = format!("user {user} sticks by header");
        found.insert(answered(
            &becomes(place, &what, ECHO, &arguments, one).await,
        ));
    }
    assert!(found.len() > 1, "all users got {found:?}");

    place
        .apply(sticky(
            json!({"httpCookie": {"name": "session", "ttl": "60s"}}),
        ))
        .await;
    let (cookie, _) = eventually(&place.client, "a cookie is given", 20, || async {
        let (_, said) = seen(place, ECHO, &[]).await?;
        let given = said
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: "));
        let cookie = given.and_then(|given| given.split(';').next());
        let cookie = cookie.filter(|cookie| cookie.starts_with("session="));
        cookie.map(str::to_owned).ok_or(said.clone())
    })
    .await;
    let header = format!("cookie:{cookie}");
    let arguments = ["--requests", "20", "--header", &header];
    becomes(place, "a session sticks by cookie", ECHO, &arguments, one).await;

    place.apply(sticky(json!({"useSourceIp": true}))).await;
    let by_address = ["--requests", "40", "--new-connections"];
    becomes(place, "a client sticks by address", ECHO, &by_address, one).await;
}

/// Circuit breaking: one connection and one request that waits; others are refused at once.
async fn full(place: &Namespace) {
    let pool = json!({"connectionPool": {
        "tcp": {"maxConnections": 1},
        "http": {"http1MaxPendingRequests": 1, "maxRequestsPerConnection": 1},
    }});
    place.apply(policy("echo", pool)).await;
    let crowd = ["--requests", "40", "--concurrency", "8"];
    let refused = |load: &Load| {
        let count = |status| load.statuses.get(status).copied().unwrap_or_default();
        count("200") > 0 && count("503") > 0 && count("200") + count("503") == load.sent
    };
    let url = format!("{ECHO}?delay=50ms");
    becomes(place, "a crowd is partly refused", &url, &crowd, refused).await;
    let alone = becomes(
        place,
        "who comes alone is served",
        ECHO,
        &TWENTY,
        Load::is_clean,
    );
    alone.await;
}

/// An endpoint that fails is left out for a while.
async fn unwell(place: &Namespace) {
    let both = |load: &Load| load.versions.len() == 2;
    becomes(place, "both answer, one badly", FLAKY, &TWENTY, both).await;
    let detection = json!({"outlierDetection": {
        "consecutive5xxErrors": 1, "interval": "1s", "baseEjectionTime": "3m", "maxEjectionPercent": 100,
    }});
    place.apply(policy("flaky", detection)).await;
    becomes(
        place,
        "only the good one is left",
        FLAKY,
        &TWENTY,
        all_from("good"),
    )
    .await;
}

async fn near(place: &Namespace) {
    let detection = json!({"consecutive5xxErrors": 3, "interval": "1s", "baseEjectionTime": "1s"});
    let shares =
        json!({"distribute": [{"from": "here/a/*", "to": {"here/a/*": 70, "there/a/*": 30}}]});
    place
        .apply(policy(
            "echo",
            json!({"outlierDetection": detection, "loadBalancer": {"localityLbSetting": shares}}),
        ))
        .await;
    let shared = |load: &Load| {
        let far = load.versions.get("far").copied().unwrap_or_default();
        load.is_clean() && !load.versions.contains_key("beside") && far.abs_diff(300) <= 60
    };
    let many = ["--requests", "1000", "--concurrency", "4"];
    becomes(
        place,
        "seven in ten to the near one, three to the far one",
        ECHO,
        &many,
        shared,
    )
    .await;

    place
        .apply(policy("echo", json!({"outlierDetection": detection})))
        .await;
    becomes(
        place,
        "the near one gets all",
        ECHO,
        &TWENTY,
        all_from("near"),
    )
    .await;
    place.scale("echo-near", 0).await;
    becomes(
        place,
        "then the one beside it",
        ECHO,
        &TWENTY,
        all_from("beside"),
    )
    .await;
    place.scale("echo-beside", 0).await;
    becomes(place, "then the far one", ECHO, &TWENTY, all_from("far")).await;
    place.scale("echo-near", 1).await;
    place.rolled_out("echo-near").await;
    becomes(
        place,
        "and the near one again",
        ECHO,
        &TWENTY,
        all_from("near"),
    )
    .await;
}
