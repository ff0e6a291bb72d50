//! Which values change nothing, found by trying each of them: the list has to say the same.

use api::istio_operator::IstioOperator;
use serde_json::{Map, Value, json};

use super::INERT;
use crate::merge::{merge, set};
use crate::{Observed, build, resolve};

/// Specifications under which a value may have its effect.
const SETTINGS: [&str; 7] = [
    // Everything that has pods, without the CRDs, which take their time.
    "{profile: demo, components: {base: {enabled: false}}, values: {\
        pilot: {autoscaleEnabled: true, autoscaleMin: 2, env: {EXTERNAL_CA: x}},\
        gateways: {istio-ingressgateway: {autoscaleEnabled: true, autoscaleMin: 2},\
            istio-egressgateway: {autoscaleEnabled: true, autoscaleMin: 2}}}}",
    "{profile: demo, components: {base: {enabled: false}}}",
    "{profile: empty, components: {base: {enabled: true}}, values: {defaultRevision: default}}",
    "{profile: remote, components: {base: {enabled: false}}, \
        values: {global: {remotePilotAddress: 192.0.2.1}}}",
    "{components: {base: {enabled: false}}, values: {\
        global: {networkPolicy: {enabled: true}, mountMtlsCerts: true, pilotCertProvider: custom},\
        pilot: {cni: {enabled: true}, taint: {enabled: true}}}}",
    "{components: {base: {enabled: false}}, \
        values: {global: {configCluster: true}, istiodRemote: {enabled: true}}}",
    "{components: {base: {enabled: false}}, revision: canary, values: {revisionTags: [prod], \
        pilot: {resources: null}, global: {readerServiceAccount: {name: reader}}}}",
];

/// Texts of the injection templates, which take values too.
const TEMPLATES: [&str; 5] = [
    include_str!("../../../../config/injection/gateway.yaml"),
    include_str!("../../../../config/injection/grpc-agent.yaml"),
    include_str!("../../../../config/injection/grpc-simple.yaml"),
    include_str!("../../../../config/injection/parts.yaml"),
    include_str!("../../../../config/injection/sidecar.yaml"),
];

fn fields() -> Map<String, Value> {
    let text = include_str!("../../../api/istio_operator/fields.yaml");
    let fields = api::yaml::documents(text).expect("YAML").remove(0);
    fields.as_object().expect("a map").clone()
}

/// Every leaf below `shape`, with two values to try it with.
fn leaves(
    fields: &Map<String, Value>,
    shape: &Value,
    path: &[String],
    found: &mut Vec<(Vec<String>, [Value; 2])>,
) {
    let samples = match shape {
        Value::Object(below) => {
            for (name, shape) in below {
                leaves(
                    fields,
                    shape,
                    &[path, std::slice::from_ref(name)].concat(),
                    found,
                );
            }
            return;
        }
        // Judged on its own, in `mesh_config`.
        Value::String(word) if word == "use meshConfig" => return,
        Value::String(word) if word.starts_with("use ") => {
            return leaves(fields, &fields[&word[4..]], path, found);
        }
        Value::String(word) => one(word),
        Value::Array(items) => match &items[0] {
            Value::String(_) if path.ends_with(&["excludedCRDs".to_owned()]) => {
                ["gateways", "sidecars"].map(|kind| json!([format!("{kind}.networking.istio.io")]))
            }
            Value::String(word) => one(word).map(|item| json!([item])),
            _ => [
                json!([{"name": "x-one", "port": 81, "targetPort": 8081}]),
                json!([{"name": "x-two", "port": 82, "targetPort": 8082}]),
            ],
        },
        other => panic!("{other}"),
    };
    found.push((path.to_vec(), samples));
}

fn one(word: &str) -> [Value; 2] {
    match word {
        "flag" => [json!(true), json!(false)],
        "whole" | "number" => [json!(3), json!(4)],
        "whole-or-text" => [json!("31%"), json!("32%")],
        "text" | "text-or-number" => [json!("x-one"), json!("x-two")],
        word if word.ends_with("Toleration") => ["one", "two"].map(|key| json!({"key": key})),
        word if word.ends_with("EnvVar") => {
            ["ONE", "TWO"].map(|name| json!({"name": name, "value": "x"}))
        }
        word if word.ends_with("VolumeMount") => {
            ["one", "two"].map(|name| json!({"name": name, "mountPath": "/x"}))
        }
        word if word.ends_with("Volume") => {
            ["one", "two"].map(|name| json!({"name": name, "emptyDir": {}}))
        }
        "texts-or-numbers" => [json!({"cpu": "31m"}), json!({"cpu": "32m"})],
        _ => ["one", "two"].map(anything),
    }
}

/// An object with the fields of everything that values have as objects.
fn anything(word: &str) -> Value {
    let seconds = word.len() * usize::from(word == "one");
    json!({
        "x": word, "name": word, "key": word, "operator": "In", "values": word, "aud": word,
        "topologyKey": word, "mountPath": format!("/{word}"), "configMapName": word,
        "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1, "port": 81 + seconds,
        "type": word, "localhostProfile": word,
        "scaleDown": {"stabilizationWindowSeconds": seconds},
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"topologyKey": word}]},
    })
}

/// What an installation consists of, apart from where values are only repeated; none when the
/// value is refused.
fn rendered(setting: &str, values: &Map<String, Value>) -> Option<String> {
    let mut spec = api::yaml::documents(setting).expect("YAML").remove(0);
    let mut over = Map::new();
    set(&mut over, &["values"], Value::Object(values.clone()));
    merge(spec.as_object_mut().expect("a map"), &over);
    let document = json!({"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator",
        "metadata": {"name": "mesh", "namespace": "istio-system"}, "spec": spec});
    let parsed = IstioOperator::parse(&document).ok()?;
    let seen = Observed {
        hub: "registry.example/mesh".to_owned(),
        tag: "v0".to_owned(),
        version: "0.0.0".to_owned(),
        kubernetes: None,
        host: None,
    };
    let install = resolve(&parsed, &seen).ok()?;
    let objects = build(&install);
    let bodies = objects.objects().map(|object| {
        if object.reference.kind == "CustomResourceDefinition" {
            return object.reference.name.clone();
        }
        let mut body = object.body.clone();
        let name = object.reference.name.as_str();
        if object.reference.kind == "ConfigMap" && name.starts_with("values") {
            body["data"] = Value::Null;
        }
        if object.reference.kind == "ConfigMap" && name.starts_with("istio-sidecar-injector") {
            body["data"]["values"] = Value::Null;
        }
        body.to_string()
    });
    Some(bodies.collect::<Vec<_>>().join("\n"))
}

/// Whether an injection template takes this value, or one above it as a whole.
fn injected(path: &str) -> bool {
    // Injection itself, not a template, looks at these.
    let asked = [
        "global.proxy.holdApplicationUntilProxyStarts",
        "sidecarInjectorWebhook.rewriteAppHTTPProbe",
    ];
    if asked.contains(&path) {
        return true;
    }
    let mut path = path.to_owned();
    loop {
        let name = format!(".Values.{path}");
        let stands = |text: &&str| {
            text.match_indices(&name).any(|(at, _)| {
                let next = text[at + name.len()..].chars().next();
                !next.is_some_and(|next| next.is_alphanumeric() || next == '_' || next == '.')
            })
        };
        if TEMPLATES.iter().any(stands) {
            return true;
        }
        match path.rfind('.') {
            Some(end) => path.truncate(end),
            None => return false,
        }
    }
}

fn listed(path: &str) -> bool {
    INERT.iter().any(|listed| {
        path.strip_prefix(listed)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

#[test]
fn what_is_listed_changes_nothing_and_everything_else_something() {
    let fields = fields();
    let mut all = Vec::new();
    leaves(&fields, &fields["values"], &[], &mut all);
    assert!(all.len() > 250, "{}", all.len());
    let (inert, effective): (Vec<_>, Vec<_>) =
        all.iter().partition(|(path, _)| listed(&path.join(".")));

    for setting in SETTINGS {
        let [one, two] = [0, 1].map(|sample| {
            let mut values = Map::new();
            for (path, samples) in &inert {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                set(&mut values, &path, samples[sample].clone());
            }
            rendered(setting, &values).expect("values without effect are no error")
        });
        assert!(
            one == two,
            "under {setting} a value of the list has an effect"
        );
    }

    let idle: Vec<String> = effective
        .iter()
        .filter(|(path, samples)| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let matters = |setting: &&str| {
                let [one, two] = [0, 1].map(|sample| {
                    let mut values = Map::new();
                    set(&mut values, &path, samples[sample].clone());
                    rendered(setting, &values)
                });
                // What is refused is not passed over in silence.
                one.is_none() || two.is_none() || one != two
            };
            !injected(&path.join(".")) && !SETTINGS.iter().any(matters)
        })
        .map(|(path, _)| path.join("."))
        .collect();
    assert!(idle.is_empty(), "without effect and not listed: {idle:#?}");
}
