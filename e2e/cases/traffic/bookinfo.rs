//! The rules of the bookinfo tutorials, in their forms and by their names, on the sample application: who sees
//! which stars, and what readers are told when ratings are late or fail.

use e2e::{
    cluster, configuration, eventually::eventually, mesh, namespace, namespace::Namespace,
    workload::Workload,
};
use serde_json::{Value, json};

use super::{CLIENT, NETWORKING, alone, becomes, rule, to};

const SERVICES: [&str; 4] = ["productpage", "reviews", "ratings", "details"];
const REVIEWS: &str = "http://productpage:9080/api/v1/products/0/reviews";
/// The page waits this long for each of its backends, so that a case need not wait longer.
const PATIENCE: &str = "1s";
/// Longer than the page waits.
const LATE: &str = "2s";

/// Everything that the sample has, in the namespace of the case.
async fn install(place: &Namespace) {
    let mut deployments = Vec::new();
    for mut object in cluster::documents("config/samples/bookinfo.yaml") {
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        match object["kind"].as_str() {
            Some("Namespace") => continue,
            Some("Deployment") => {
                if name.starts_with("productpage") {
                    let container = &mut object["spec"]["template"]["spec"]["containers"][0];
                    container["env"] = json!([{"name": "TIMEOUT", "value": PATIENCE}]);
                }
                deployments.push(name);
            }
            _ => {}
        }
        place.apply(object).await;
    }
    place.deploy(&[Workload::client(CLIENT)]).await;
    for deployment in &deployments {
        place.rolled_out(deployment).await;
    }
}

fn service(name: &str, http: Value) -> Value {
    rule(
        "VirtualService",
        name,
        json!({"hosts": [name], "http": http}),
    )
}

/// Another route for who is logged in as jason, v1 for all others.
fn for_jason(name: &str, mut of_jason: Value) -> Value {
    of_jason["match"] = json!([{"headers": {"end-user": {"exact": "jason"}}}]);
    service(name, json!([of_jason, {"route": to(name, "v1")}]))
}

/// The reviews as the page has them, for a reader who is logged in or not.
async fn reviews(place: &Namespace, user: Option<&str>) -> Result<Value, String> {
    let cookie = user.map(|user| format!("cookie:user={user}"));
    let mut command = vec!["get", "--url", REVIEWS];
    command.extend(
        cookie
            .iter()
            .flat_map(|cookie| ["--header", cookie.as_str()]),
    );
    let output = place.run(CLIENT, &command).await?;
    serde_json::from_str(&output.stdout).map_err(|error| format!("{error}: {output:?}"))
}

/// Waits until what `user` sees is as it should be.
async fn sees(place: &Namespace, what: &str, user: Option<&str>, holds: impl Fn(&Value) -> bool) {
    let what = format!("{} sees {what}", user.unwrap_or("everyone"));
    let (_, took) = eventually(&place.client, &what, 20, || async {
        let reviews = reviews(place, user).await?;
        holds(&reviews).then_some(()).ok_or(reviews.to_string())
    })
    .await;
    println!("{what}: after {took:?}");
}

fn colour(reviews: &Value) -> Option<&str> {
    reviews["reviews"][0]["rating"]["colour"].as_str()
}

fn no_stars(reviews: &Value) -> bool {
    reviews["reviews"][0]["text"].is_string() && reviews["reviews"][0]["rating"].is_null()
}

fn black(reviews: &Value) -> bool {
    colour(reviews) == Some("black")
}

fn error(reviews: &Value) -> &str {
    let of_all = reviews["error"].as_str();
    of_all
        .or(reviews["reviews"][0]["rating"]["error"].as_str())
        .unwrap_or_default()
}

#[tokio::test]
async fn the_rules_of_the_tutorials_do_what_these_say() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "traffic-bookinfo", async |place| {
        place.apply(alone()).await;
        install(place).await;
        let page = place.pod_of("productpage").await;
        let first = configuration::settled(place, &page).await;

        // destination-rule-all and virtual-service-all-v1
        for rules in cluster::documents("config/samples/bookinfo-destination-rules.yaml") {
            place.apply(rules).await;
        }
        for name in SERVICES {
            place
                .apply(service(name, json!([{"route": to(name, "v1")}])))
                .await;
        }
        let v1 = super::all_from("v1");
        becomes(place, "all get v1", REVIEWS, &["--requests", "30"], v1).await;

        request_routing(place).await;
        fault_injection(place).await;
        traffic_shifting(place).await;
        request_timeouts(place).await;

        for name in SERVICES {
            place.delete(NETWORKING, "VirtualService", name).await;
            place.delete(NETWORKING, "DestinationRule", name).await;
        }
        let all = |load: &e2e::load::Load| load.is_clean() && load.versions.len() == 3;
        becomes(
            place,
            "all versions again",
            REVIEWS,
            &["--requests", "60"],
            all,
        )
        .await;
        configuration::is_again(place, &page, &first).await;
    })
    .await;
}

/// virtual-service-reviews-test-v2
async fn request_routing(place: &Namespace) {
    place
        .apply(for_jason("reviews", json!({"route": to("reviews", "v2")})))
        .await;
    sees(place, "black stars", Some("jason"), black).await;
    sees(place, "no stars", None, no_stars).await;
    sees(place, "no stars", Some("ada"), no_stars).await;
}

/// virtual-service-ratings-test-delay and -abort, while jason has v2 of reviews
async fn fault_injection(place: &Namespace) {
    let percentage = json!({"value": 100.0});
    let delay = json!({"fixedDelay": LATE, "percentage": percentage});
    let late = json!({"fault": {"delay": delay}, "route": to("ratings", "v1")});
    place.apply(for_jason("ratings", late)).await;
    let unreachable =
        |reviews: &Value| error(reviews).contains("reviews cannot be reached: timeout");
    sees(
        place,
        "that reviews are too late",
        Some("jason"),
        unreachable,
    )
    .await;
    sees(place, "no stars", None, no_stars).await;

    let abort = json!({"httpStatus": 500, "percentage": percentage});
    let failing = json!({"fault": {"abort": abort}, "route": to("ratings", "v1")});
    place.apply(for_jason("ratings", failing)).await;
    let without = |reviews: &Value| error(reviews).contains("ratings answered 500");
    sees(place, "that ratings fail", Some("jason"), without).await;
    sees(place, "no stars", None, no_stars).await;
    place
        .apply(service("ratings", json!([{"route": to("ratings", "v1")}])))
        .await;
    sees(place, "black stars", Some("jason"), black).await;
}

/// virtual-service-reviews-50-v3 and virtual-service-reviews-v3
async fn traffic_shifting(place: &Namespace) {
    let half =
        |subset: &str| json!({"destination": {"host": "reviews", "subset": subset}, "weight": 50});
    place
        .apply(service(
            "reviews",
            json!([{"route": [half("v1"), half("v3")]}]),
        ))
        .await;
    let halves = |load: &e2e::load::Load| {
        let third = load.versions.get("v3").copied().unwrap_or_default();
        load.is_clean() && !load.versions.contains_key("v2") && third.abs_diff(200) <= 50
    };
    becomes(
        place,
        "half get v3",
        REVIEWS,
        &["--requests", "400", "--concurrency", "4"],
        halves,
    )
    .await;
    place
        .apply(service("reviews", json!([{"route": to("reviews", "v3")}])))
        .await;
    let v3 = super::all_from("v3");
    becomes(place, "all get v3", REVIEWS, &["--requests", "30"], v3).await;
    sees(place, "red stars", None, |reviews| {
        colour(reviews) == Some("red")
    })
    .await;
}

/// Request timeouts: ratings take two seconds, reviews may take half of one.
async fn request_timeouts(place: &Namespace) {
    let delay = json!({"delay": {"percentage": {"value": 100}, "fixedDelay": LATE}});
    place
        .apply(service(
            "ratings",
            json!([{"fault": delay, "route": to("ratings", "v1")}]),
        ))
        .await;
    place
        .apply(service(
            "reviews",
            json!([{"route": to("reviews", "v2"), "timeout": "0.5s"}]),
        ))
        .await;
    let timed_out = |reviews: &Value| error(reviews).contains("reviews answered 504");
    sees(place, "that reviews timed out", None, timed_out).await;
}
