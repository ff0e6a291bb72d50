//! Access logs and spans arrive, with the fields that were asked for, at those who collect them in their own protocols:
//! Envoy's access log service, OpenTelemetry over gRPC and HTTP, Zipkin.

use std::collections::{BTreeMap, BTreeSet};

use e2e::installation::Installation;
use e2e::{
    argocd::Health, cluster, eventually::eventually, load, mesh, namespace, namespace::Namespace,
    workload::Workload,
};
use serde_json::{Value, json};

const NAME: &str = "telemetry";
const HTTP: &str = "http://echo:8080/asked";

/// The sample, with providers whose services are in the namespace of this case.
fn specification() -> Value {
    let mut spec = mesh::sample();
    let at = |port: u16| json!({"service": format!("sink.{NAME}.svc.cluster.local"), "port": port});
    let with = |port: u16, more: Value| {
        let mut provider = at(port);
        for (key, value) in more.as_object().into_iter().flatten() {
            provider[key] = value.clone();
        }
        provider
    };
    spec["meshConfig"]["extensionProviders"] = json!([
        {"name": "case-als", "envoyHttpAls":
            with(4317, json!({"logName": "requests", "additionalRequestHeadersToLog": ["x-asked-by"]}))},
        {"name": "case-otlp", "envoyOtelAls":
            with(4317, json!({"logFormat": {"text": "%REQ(:PATH)%", "labels": {"code": "%RESPONSE_CODE%"}}}))},
        {"name": "case-spans", "opentelemetry": at(4317)},
        {"name": "case-posted", "opentelemetry": with(9411, json!({"http": {"path": "/v1/traces"}}))},
        {"name": "case-zipkin", "zipkin": at(9411)},
    ]);
    spec
}

fn telemetry(tracer: &str) -> Value {
    json!({
        "apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry", "metadata": {"name": "case"},
        "spec": {
            "accessLogging": [
                {"providers": [{"name": "case-als"}], "match": {"mode": "SERVER"}},
                {"providers": [{"name": "case-otlp"}], "filter": {"expression": "response.code >= 500"}},
            ],
            "tracing": [{
                "providers": [{"name": tracer}], "randomSamplingPercentage": 100,
                "customTags": {"team": {"literal": {"value": "case"}}, "by": {"header": {"name": "x-asked-by"}}},
            }],
        },
    })
}

/// What the collector printed of one form.
async fn collected(place: &Namespace, form: &str) -> Vec<Value> {
    let pod = place.pod_of("collector").await;
    let log = place.log(&pod, e2e::workload::CONTAINER).await;
    let records = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter(|record| record["form"] == form).collect()
}

/// Asks, until a record of `form` holds what is wanted.
async fn arrives(
    place: &Namespace,
    form: &str,
    path: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let what = format!("{form} arrives");
    let url = format!("{HTTP}{path}");
    let (record, took) = eventually(&place.client, &what, 60, || async {
        let asked = ["get", "--url", &url, "--header", "x-asked-by:case"];
        let output = place.run("client", &asked).await?;
        let records = collected(place, form).await;
        let found = records.iter().find(|record| wanted(record));
        found.cloned().ok_or_else(|| {
            let last = records.last();
            format!(
                "{} records, the last one {last:?}; {output:?}",
                records.len()
            )
        })
    })
    .await;
    println!("{form} after {took:?}: {record}");
    record
}

#[tokio::test]
async fn access_logs_and_spans_arrive_with_the_fields_that_were_asked_for() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let installation = Installation::sample(&client);
    installation.apply(specification()).await;
    installation.until(60, Health::Healthy, |_| true).await;
    namespace::injected(&client, NAME, async |place| {
        place
            .deploy(&[
                Workload::echo("echo", "v1"),
                Workload::client("client"),
                Workload::collector("collector").plain(),
            ])
            .await;
        place
            .apply(json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "sink"},
                "spec": {
                    "selector": {"app": "collector"},
                    "ports": [
                        {"name": "grpc", "port": 4317, "targetPort": e2e::workload::HTTP},
                        {"name": "http", "port": 9411, "targetPort": e2e::workload::HTTP},
                    ],
                },
            }))
            .await;
        place.apply(telemetry("case-spans")).await;

        let record = arrives(place, "als-http", "", |record| record["code"] == 200).await;
        assert_eq!(record["path"], "/asked", "{record}");
        assert_eq!(record["headers"]["x-asked-by"], "case", "{record}");

        // Only what the filter holds of is logged.
        let record = arrives(place, "otlp-log", "?status=503", |_| true).await;
        assert_eq!(record["body"], "/asked?status=503", "{record}");
        assert_eq!(record["attributes"]["code"], "503", "{record}");
        for record in collected(place, "otlp-log").await {
            assert_eq!(record["attributes"]["code"], "503", "{record}");
        }

        let is_ours = |record: &Value| record["attributes"]["team"] == "case";
        let record = arrives(place, "otlp-span", "", is_ours).await;
        assert_eq!(record["attributes"]["by"], "case", "{record}");
        let name = record["resource"]["service.name"].as_str();
        let names = ["client.telemetry", "echo.telemetry"];
        assert!(name.is_some_and(|name| names.contains(&name)), "{record}");
        // Both ends of a call are of one trace, from when both have been told to trace.
        eventually(&client, "both ends leave a span", 60, || async {
            load::once(place, "client", HTTP).await?;
            let mut traces: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for span in collected(place, "otlp-span").await {
                let services = traces.entry(span["trace"].to_string()).or_default();
                services.insert(span["resource"]["service.name"].to_string());
            }
            let whole = traces.values().any(|services| services.len() == 2);
            whole.then_some(()).ok_or(format!("{traces:?}"))
        })
        .await;

        let before = collected(place, "otlp-span").await.len();
        place.apply(telemetry("case-zipkin")).await;
        let is_ours = |record: &Value| record["span"]["tags"]["team"] == "case";
        let record = arrives(place, "zipkin-span", "", is_ours).await;
        let service = record["span"]["localEndpoint"]["serviceName"].as_str();
        assert!(
            service.is_some_and(|name| names.contains(&name)),
            "{record}"
        );

        place.apply(telemetry("case-posted")).await;
        eventually(&client, "spans are posted", 60, || async {
            load::once(place, "client", HTTP).await?;
            let now = collected(place, "otlp-span").await.len();
            // Those of before the change may still have been on their way.
            (now > before + 4)
                .then_some(())
                .ok_or(format!("{before}, now {now}"))
        })
        .await;
    })
    .await;
    installation.apply(mesh::sample()).await;
    installation.until(60, Health::Healthy, |_| true).await;
}
