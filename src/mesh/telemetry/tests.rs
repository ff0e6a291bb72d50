//! What holds of a workload when several levels speak. Cases follow the rules of upstream's merges.

use std::sync::Arc;

use api::mesh_config::MeshConfig;
use api::snapshot::{Labels, World, read};
use serde_json::{Value, json};

use super::{Logs, Metrics, Spans, Tag, Telemetry};
use crate::Mesh;

/// Providers that every case has, and the Telemetries `(namespace, name, spec)` of one.
fn mesh(extra: Value, telemetries: &[(&str, &str, Value)]) -> (Mesh, Vec<String>) {
    let collector = |port: u16| json!({"service": "collector.example", "port": port});
    let mut config = json!({"extensionProviders": [
        {"name": "text", "envoyFileAccessLog": {"path": "/dev/stderr"}},
        {"name": "json", "envoyFileAccessLog": {"logFormat": {"labels": {"a": "b"}}}},
        {"name": "als", "envoyHttpAls": collector(9999)},
        {"name": "lost", "envoyHttpAls": {"service": "nowhere.example", "port": 1}},
        {"name": "port", "zipkin": collector(9412)},
        {"name": "zipkin", "zipkin": collector(9411)},
        {"name": "otel", "opentelemetry": collector(4317)},
        {"name": "old", "lightstep": {"service": "collector.example", "port": 1}},
    ]});
    for (key, value) in extra.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    let mut world = World::new("cluster.local");
    world.configure(MeshConfig::parse(&config).expect("a mesh config"));
    let entry = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": "collector", "namespace": "obs"},
        "spec": {"hosts": ["collector.example"], "ports": [
            {"number": 4317, "name": "grpc-otlp", "protocol": "GRPC"},
            {"number": 9411, "name": "http-zipkin", "protocol": "HTTP"},
            {"number": 9999, "name": "grpc-als", "protocol": "GRPC"},
        ]},
    });
    let telemetries = telemetries.iter().map(|(namespace, name, spec)| {
        json!({
            "apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        })
    });
    for object in telemetries.chain([entry]) {
        let item = read(&object)
            .expect("readable")
            .expect("a kind of the mesh");
        world.put(item);
    }
    let (mesh, problems) = crate::compile(world.snapshot());
    (mesh, problems.iter().map(ToString::to_string).collect())
}

/// What workload `app` of `shop` tells.
fn told(extra: Value, telemetries: &[(&str, &str, Value)], app: &str) -> Arc<Telemetry> {
    let labels = Labels::from([("app".to_owned(), app.to_owned())]);
    mesh(extra, telemetries).0.telemetry.of("shop", &labels)
}

/// Names of the providers that take logs, each with its filter.
fn logs(of: &Logs) -> String {
    match of {
        Logs::OfMesh => "of mesh".to_owned(),
        Logs::Of(logs) => {
            let logs = logs.iter().map(|log| match &log.filter {
                Some(filter) => format!("{} if {filter}", log.by.provider.name),
                None => log.by.provider.name.clone(),
            });
            logs.collect::<Vec<_>>().join(", ")
        }
    }
}

#[test]
fn logs_of_a_level_replace_those_above() {
    let root = |spec: Value| ("istio-system", "root", json!({"accessLogging": spec}));
    let shop = |spec: Value| ("shop", "own", json!({"accessLogging": spec}));
    let by = |names: &[&str]| -> Value { names.iter().map(|name| json!({"name": name})).collect() };
    let text = json!([{"providers": by(&["text"])}]);
    let cases: Vec<(Vec<_>, &str, &str)> = vec![
        (vec![], "of mesh", "of mesh"),
        (vec![root(text.clone())], "text", "text"),
        (
            vec![
                root(text.clone()),
                shop(json!([{"providers": by(&["json", "als"])}])),
            ],
            "als, json",
            "als, json",
        ),
        (
            vec![root(text.clone()), shop(json!([{"disabled": true}]))],
            "",
            "",
        ),
        (
            vec![
                root(text.clone()),
                shop(json!([{"filter": {"expression": "x"}}])),
            ],
            "text",
            "text",
        ),
        (
            vec![
                root(text.clone()),
                shop(json!([{"providers": by(&["text"]), "filter": {"expression": "x"}}])),
            ],
            "text if x",
            "text if x",
        ),
        (
            vec![
                root(text.clone()),
                shop(json!([{"providers": by(&["json"]), "match": {"mode": "SERVER"}}])),
            ],
            "text",
            "json",
        ),
        (
            vec![shop(json!([
                {"providers": by(&["text"])}, {"providers": by(&["als"]), "match": {"mode": "SERVER"}},
                {"disabled": true},
            ]))],
            // An entry without providers is about those of the entry before it.
            "text",
            "text",
        ),
        (
            vec![shop(json!([{"providers": by(&["TEXT"])}]))],
            "text",
            "text",
        ),
        (
            vec![shop(
                json!([{"providers": by(&["nobody", "otel", "lost"])}]),
            )],
            "of mesh",
            "of mesh",
        ),
    ];
    for (telemetries, client, server) in cases {
        let found = told(json!({}), &telemetries, "web");
        assert_eq!(logs(&found.client.logs), client, "client: {telemetries:?}");
        assert_eq!(logs(&found.server.logs), server, "server: {telemetries:?}");
    }
    let defaults = json!({"defaultProviders": {"accessLogging": ["json"]}});
    let off = shop(json!([{"disabled": true}]));
    assert_eq!(
        logs(&told(defaults.clone(), &[], "web").client.logs),
        "json"
    );
    assert_eq!(logs(&told(defaults, &[off], "web").client.logs), "");
}

#[test]
fn a_log_whose_filter_is_no_expression_is_not_written() {
    let spec = json!({"accessLogging": [
        {"providers": [{"name": "text"}], "filter": {"expression": "response.code >="}},
        {"providers": [{"name": "json"}]},
    ]});
    let telemetries = [("shop", "own", spec)];
    assert_eq!(
        logs(&told(json!({}), &telemetries, "web").client.logs),
        "json"
    );
    let (_, problems) = mesh(json!({}), &telemetries);
    let [problem] = &problems[..] else {
        panic!("one problem: {problems:#?}");
    };
    let expected =
        "spec.accessLogging[0].filter.expression is no expression in CEL: it ends at character 17";
    assert!(problem.contains(expected), "{problem}");
}

#[test]
fn labels_select_workloads_of_their_own_namespace() {
    let of = |name: &str| json!({"accessLogging": [{"providers": [{"name": name}]}]});
    let selecting = |name: &str| {
        let mut spec = of(name);
        spec["selector"] = json!({"matchLabels": {"app": "web"}});
        spec
    };
    let telemetries = [
        ("istio-system", "root", of("text")),
        ("istio-system", "selecting", selecting("als")),
        ("shop", "web", selecting("json")),
    ];
    let found = |app: &str| told(json!({}), &telemetries, app);
    assert_eq!(logs(&found("web").client.logs), "json");
    assert_eq!(logs(&found("other").client.logs), "text");
    let origin: Vec<String> = found("web")
        .origin
        .iter()
        .map(|own| own.name.clone())
        .collect();
    assert_eq!(origin, ["root", "web"]);
}

#[test]
fn each_setting_of_spans_is_inherited_by_itself() {
    let root = |spec: Value| ("istio-system", "root", json!({"tracing": spec}));
    let shop = |spec: Value| ("shop", "own", json!({"tracing": spec}));
    let tracer = |spans: &Spans| match spans {
        Spans::To(tracer) => Some(tracer.clone()),
        Spans::OfMesh | Spans::Off => None,
    };
    assert_eq!(told(json!({}), &[], "web").client.spans, Spans::OfMesh);
    let both = [
        root(
            json!([{"providers": [{"name": "zipkin"}], "randomSamplingPercentage": 5,
            "customTags": {"a": {"literal": {"value": "1"}}}}]),
        ),
        shop(
            json!([{"customTags": {"b": {"header": {"name": "x"}}}, "enableIstioTags": false,
            "match": {"mode": "CLIENT"}}]),
        ),
    ];
    let found = told(json!({}), &both, "web");
    let client = tracer(&found.client.spans).expect("a tracer");
    assert_eq!(client.by.provider.name, "zipkin");
    assert_eq!(client.sampling, Some(5.0));
    assert_eq!(client.tags.keys().collect::<Vec<_>>(), ["b"]);
    assert!(!client.names_workload && client.by_request_id && client.carries_on);
    let server = tracer(&found.server.spans).expect("a tracer");
    assert_eq!(server.tags.keys().collect::<Vec<_>>(), ["a"]);
    assert!(server.names_workload);

    let off = [
        root(json!([{"providers": [{"name": "zipkin"}]}])),
        shop(json!([{"disableSpanReporting": true}])),
    ];
    assert_eq!(told(json!({}), &off, "web").server.spans, Spans::Off);
    let default = json!({"defaultProviders": {"tracing": ["otel", "zipkin"]}});
    let first = tracer(&told(default, &[], "web").client.spans).expect("a tracer");
    assert_eq!(first.by.provider.name, "otel");
    // Without anybody who takes them there are none, not those of the mesh.
    let nobody = [shop(json!([{"randomSamplingPercentage": 5}]))];
    assert_eq!(told(json!({}), &nobody, "web").client.spans, Spans::Off);
}

#[test]
fn overrides_of_metrics_add_up() {
    let root = |spec: Value| ("istio-system", "root", json!({"metrics": spec}));
    let shop = |spec: Value| ("shop", "own", json!({"metrics": spec}));
    let prometheus = json!([{"name": "prometheus"}]);
    let metrics = |telemetries: &[(&str, &str, Value)]| {
        told(
            json!({"defaultProviders": {"metrics": ["prometheus"]}}),
            telemetries,
            "web",
        )
    };
    assert_eq!(metrics(&[]).client.metrics, [Metrics::default()]);
    assert_eq!(told(json!({}), &[], "web").client.metrics, []);

    let both = [
        root(
            json!([{"providers": prometheus, "reportingInterval": "10s", "overrides": [
                {"match": {"metric": "REQUEST_COUNT", "mode": "CLIENT"},
                    "tagOverrides": {"gone": {"operation": "REMOVE"}, "host": {"value": "request.host"}}},
            ]}]),
        ),
        shop(json!([{"overrides": [
            {"match": {"metric": "REQUEST_COUNT"}, "tagOverrides": {"host": {"value": "'other'"}}},
            {"match": {"customMetric": "mine"}, "disabled": true},
        ]}])),
    ];
    let found = metrics(&both);
    let [client] = &found.client.metrics[..] else {
        panic!("one provider: {found:?}");
    };
    let names = |of: &Metrics| -> Vec<(String, bool)> {
        of.overrides
            .iter()
            .map(|own| (own.metric.clone(), own.dropped))
            .collect()
    };
    let expected = [
        ("requests_total".to_owned(), false),
        ("mine".to_owned(), true),
    ];
    assert_eq!(names(client), expected);
    let tags = [
        ("gone".to_owned(), Tag::Removed),
        ("host".to_owned(), Tag::Is("'other'".to_owned())),
    ];
    assert_eq!(client.overrides[0].tags, tags);
    assert_eq!(found.server.metrics[0].overrides[0].tags.len(), 1);

    let off = json!({"match": {"mode": "SERVER"}, "disabled": true});
    let found = metrics(&[root(json!([{"providers": prometheus, "overrides": [off]}]))]);
    assert_eq!(
        (found.client.metrics.len(), found.server.metrics.len()),
        (1, 0)
    );
    let again =
        shop(json!([{"overrides": [{"match": {"metric": "REQUEST_SIZE"}, "disabled": false}]}]));
    let found = metrics(&[
        root(json!([{"providers": prometheus, "overrides": [off]}])),
        again,
    ]);
    assert_eq!(found.server.metrics.len(), 1);
    let elsewhere = [shop(json!([{"providers": [{"name": "stackdriver"}]}]))];
    assert_eq!(metrics(&elsewhere).client.metrics, []);
}

#[test]
fn providers_that_cannot_be_used_are_named() {
    let by = |name: &str| json!([{"providers": [{"name": name}]}]);
    let spec = json!({"accessLogging": by("otel"), "tracing": by("old"), "metrics": by("nobody")});
    let lost = json!({"accessLogging": by("lost")});
    let (_, problems) = mesh(json!({}), &[("shop", "own", spec), ("bank", "own", lost)]);
    for expected in [
        r#"telemetry shop/own: spec.accessLogging[0].providers[0].name is "otel", which takes no access logs, expected one of als, envoy, json, lost, text"#,
        r#"spec.tracing[0].providers[0].name is "old", which takes no spans, expected one of otel, port, zipkin"#,
        r#"spec.metrics[0].providers[0].name is "nobody", which is no provider, expected one of prometheus"#,
        r#"telemetry bank/own: spec.accessLogging[0].providers[0].name is "lost", but its service is "nowhere.example", which nothing declares"#,
    ] {
        let found = problems.iter().any(|problem| problem.contains(expected));
        assert!(found, "no {expected}: {problems:#?}");
    }
    assert_eq!(problems.len(), 4, "{problems:#?}");
}

#[test]
fn a_provider_at_a_port_that_its_host_lacks_takes_nothing() {
    let named = json!({"tracing": [{"providers": [{"name": "port"}]}]});
    let why = r#"is "port", but its service is "collector.example", of which port 9412 is asked for, but it has port 4317, 9411, 9999"#;
    let telemetries = [("shop", "own", named)];
    let (_, problems) = mesh(json!({}), &telemetries);
    let expected = format!("telemetry shop/own: spec.tracing[0].providers[0].name {why}");
    assert_eq!(problems, [expected]);
    assert_eq!(
        told(json!({}), &telemetries, "web").server.spans,
        Spans::Off
    );
    // The mesh's defaults are judged like what Telemetries name.
    let defaults = json!({"defaultProviders": {"tracing": ["port"]}});
    let (_, problems) = mesh(defaults.clone(), &[]);
    let expected =
        format!("configmap istio-system/istio: meshConfig.defaultProviders.tracing[0] {why}");
    assert_eq!(problems, [expected]);
    assert_eq!(told(defaults, &[], "web").server.spans, Spans::Off);
}

#[test]
fn tracing_that_nobody_takes_says_what_to_add() {
    let asked = |mut extra: Value| {
        extra["enableTracing"] = true.into();
        mesh(extra, &[]).1
    };
    let problems = asked(json!({}));
    let [problem] = &problems[..] else {
        panic!("one problem: {problems:#?}");
    };
    assert!(
        problem.contains("meshConfig.enableTracing is true, but no provider takes spans: add"),
        "{problem}"
    );
    assert!(
        problem.contains("Telemetry of namespace istio-system"),
        "{problem}"
    );
    assert_eq!(mesh(json!({}), &[]).1, Vec::<String>::new());
    assert_eq!(
        asked(json!({"defaultProviders": {"tracing": ["otel"]}})),
        Vec::<String>::new()
    );
    let legacy = json!({"defaultConfig": {"tracing": {"zipkin": {"address": "zipkin.obs:9411"}}}});
    assert_eq!(asked(legacy), Vec::<String>::new());
}

#[test]
fn logs_of_the_mesh_cannot_be_switched_off_by_nobodys_name() {
    let off = json!({"accessLogging": [{"disabled": true}]});
    let file = json!({"accessLogFile": "/dev/stdout"});
    let (_, problems) = mesh(file, &[("shop", "own", off.clone())]);
    let [problem] = &problems[..] else {
        panic!("one problem: {problems:#?}");
    };
    assert!(
        problem.contains("spec.accessLogging[0].disabled is true, but no provider is in force"),
        "{problem}"
    );
    assert_eq!(
        mesh(json!({}), &[("shop", "own", off)]).1,
        Vec::<String>::new()
    );
}
