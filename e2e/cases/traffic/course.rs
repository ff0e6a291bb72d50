//! The rules of a widely taken course, in their forms and by their names: a canary and sticky clients, dark releases
//! inside the mesh and at the gateway, faults, and a circuit breaker. Their hosts are written in every form there is.

use e2e::{
    cluster, configuration, eventually::eventually, http, load::Load, mesh, namespace,
    namespace::Namespace, workload::Workload,
};
use serde_json::{Value, json};

use super::{CLIENT, NETWORKING, all_from, all_with, alone, becomes, rule};

const STAFF: &str = "http://fleetman-staff-service:8080/";
const TELEMETRY: &str = "http://fleetman-vehicle-telemetry:8080/";
const NAMESPACE: &str = "traffic-course";
/// The course takes every host for itself; here other cases use the gateway too.
const HOST: &str = "fleetman.traffic.example";

fn service(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": app}, "ports": [{"name": "http", "port": 8080}]},
    })
}

fn staff() -> String {
    format!("fleetman-staff-service.{NAMESPACE}.svc.cluster.local")
}

fn by_version(name: &str, host: &str, versions: [&str; 2]) -> Value {
    rule(
        "DestinationRule",
        name,
        json!({"host": host, "subsets": super::subsets(&versions)}),
    )
}

#[tokio::test]
async fn the_rules_of_the_course_do_what_it_says() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, NAMESPACE, async |place| {
        place.apply(alone()).await;
        place
            .deploy(&[
                Workload::echo("staff-service", "safe"),
                Workload::echo("staff-service", "risky"),
                Workload::echo("webapp", "original"),
                Workload::echo("webapp", "experimental"),
                Workload::client(CLIENT),
            ])
            .await;
        for (name, app) in [
            ("fleetman-staff-service", "staff-service"),
            ("fleetman-vehicle-telemetry", "staff-service"),
            ("fleetman-webapp", "webapp"),
        ] {
            place.apply(service(name, app)).await;
        }
        let both = |load: &Load| load.is_clean() && load.versions.len() == 2;
        becomes(
            place,
            "both versions answer",
            STAFF,
            &["--requests", "30"],
            both,
        )
        .await;
        let from = place.pod_of(CLIENT).await;
        let first = configuration::settled(place, &from).await;

        canary(place).await;
        sticky(place).await;
        dark_release(place).await;
        dark_release_at_the_gateway(place).await;
        fault(place).await;
        configuration::is_again(place, &from, &first).await;
        circuit_breaker(place).await;
    })
    .await;
}

/// Nine in ten to the safe group, named by the rule and not by its label.
async fn canary(place: &Namespace) {
    let group = |name: &str, version: &str| json!({"name": name, "labels": {"version": version}});
    let groups = json!([group("safe-group", "safe"), group("risky-group", "risky")]);
    let spec = json!({"host": "fleetman-staff-service", "subsets": groups});
    place
        .apply(rule("DestinationRule", "grouping-rules", spec))
        .await;
    let part = |subset: &str, weight: u32| json!({"destination": {"host": staff(), "subset": subset}, "weight": weight});
    let route = json!([part("safe-group", 90), part("risky-group", 10)]);
    let spec = json!({"hosts": [staff()], "http": [{"route": route}]});
    place
        .apply(rule("VirtualService", "routing-rules", spec))
        .await;
    let tenth = |load: &Load| {
        let risky = load.versions.get("risky").copied().unwrap_or_default();
        load.is_clean() && risky.abs_diff(100) <= 40
    };
    let many = ["--requests", "1000", "--concurrency", "4"];
    becomes(place, "one in ten gets the risky one", STAFF, &many, tenth).await;
}

/// All pods are one group, and who shows the same header gets the same pod.
async fn sticky(place: &Namespace) {
    let subsets = json!([{"name": "all-staff-service-pods", "labels": {"app": "staff-service"}}]);
    let policy = json!({"loadBalancer": {"consistentHash": {"httpHeaderName": "x-myval"}}});
    let spec =
        json!({"host": "fleetman-staff-service", "trafficPolicy": policy, "subsets": subsets});
    place
        .apply(rule("DestinationRule", "grouping-rules", spec))
        .await;
    let route = json!([{"destination": {"host": staff(), "subset": "all-staff-service-pods"}}]);
    let spec = json!({"hosts": [staff()], "http": [{"route": route}]});
    place
        .apply(rule("VirtualService", "routing-rules", spec))
        .await;
    for value in ["192", "193"] {
        let header = format!("x-myval:{value}");
        let arguments = ["--requests", "30", "--header", &header];
        let one = |load: &Load| load.is_clean() && load.versions.len() == 1;
        becomes(place, &format!("{header} sticks"), STAFF, &arguments, one).await;
    }
    place
        .delete(NETWORKING, "VirtualService", "routing-rules")
        .await;
    place
        .delete(NETWORKING, "DestinationRule", "grouping-rules")
        .await;
}

async fn dark_release(place: &Namespace) {
    let name = "fleetman-staff-service";
    place.apply(by_version(name, name, ["safe", "risky"])).await;
    let canary = json!({
        "match": [{"headers": {"x-my-header": {"exact": "canary"}}}], "route": super::to(name, "risky"),
    });
    let http = json!([canary, {"route": super::to(name, "safe")}]);
    place
        .apply(rule(
            "VirtualService",
            name,
            json!({"hosts": [name], "http": http}),
        ))
        .await;
    let header = ["--requests", "20", "--header", "x-my-header:canary"];
    becomes(
        place,
        "the header gets the risky one",
        STAFF,
        &header,
        all_from("risky"),
    )
    .await;
    becomes(
        place,
        "others get the safe one",
        STAFF,
        &["--requests", "20"],
        all_from("safe"),
    )
    .await;
    place.delete(NETWORKING, "VirtualService", name).await;
    place.delete(NETWORKING, "DestinationRule", name).await;
}

async fn dark_release_at_the_gateway(place: &Namespace) {
    let (name, gateway) = ("fleetman-webapp", "ingress-gateway-configuration");
    let server =
        json!({"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [HOST]});
    let spec = json!({"selector": {"istio": "ingressgateway"}, "servers": [server]});
    place.apply(rule("Gateway", gateway, spec)).await;
    place
        .apply(by_version(name, name, ["original", "experimental"]))
        .await;
    let experimental = json!({
        "match": [{"uri": {"prefix": "/experimental"}}, {"headers": {"my-header": {"exact": "canary"}}}],
        "route": super::to(name, "experimental"),
    });
    let http = json!([experimental, {"route": super::to(name, "original")}]);
    let spec = json!({"hosts": [HOST], "gateways": [gateway], "http": http});
    place.apply(rule("VirtualService", name, spec)).await;
    let address = format!("{}:80", mesh::ingress(&place.client).await);
    for (path, version) in [("/experimental", "experimental"), ("/", "original")] {
        let what = format!("{path} gets {version} through the gateway");
        eventually(&place.client, &what, 20, || async {
            let answer = http::get(&address, HOST, path).await?;
            let wanted = format!("\"version\":\"{version}\"");
            let found = answer.status == 200 && answer.body.contains(&wanted);
            found.then_some(()).ok_or(format!("{answer:?}"))
        })
        .await;
    }
    place.delete(NETWORKING, "VirtualService", name).await;
    place.delete(NETWORKING, "DestinationRule", name).await;
    place.delete(NETWORKING, "Gateway", gateway).await;
}

async fn fault(place: &Namespace) {
    let name = "fleetman-vehicle-telemetry";
    let abort = json!({"abort": {"httpStatus": 503, "percentage": {"value": 100}}});
    let http = json!([{"fault": abort, "route": [{"destination": {"host": name}}]}]);
    let spec = json!({"hosts": [name], "http": http});
    place.apply(rule("VirtualService", name, spec)).await;
    becomes(
        place,
        "telemetry is aborted",
        TELEMETRY,
        &["--requests", "10"],
        all_with("503"),
    )
    .await;
    place.delete(NETWORKING, "VirtualService", name).await;
    becomes(
        place,
        "telemetry answers",
        TELEMETRY,
        &["--requests", "10"],
        Load::is_clean,
    )
    .await;
}

/// The risky version begins to fail; two failures in a row put it out.
async fn circuit_breaker(place: &Namespace) {
    let name = "circuit-breaker-for-the-entire-default-namespace";
    let detection = json!({
        "maxEjectionPercent": 100, "consecutive5xxErrors": 2, "interval": "1s", "baseEjectionTime": "30s",
    });
    let spec = json!({"host": staff(), "trafficPolicy": {"outlierDetection": detection}});
    place.apply(rule("DestinationRule", name, spec)).await;
    let failing = Workload::echo("staff-service", "risky").argument("--status=500");
    place.apply(failing.deployment()).await;
    place.rolled_out(&failing.name).await;
    becomes(
        place,
        "only the safe one answers",
        STAFF,
        &["--requests", "30"],
        all_from("safe"),
    )
    .await;
}
