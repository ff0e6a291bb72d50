//! What people wrote, in their words: `configz`, `resourcesz`, `authorizationz`, `telemetryz`, `pushcontext`, `mesh`,
//! `inject`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::endpoints::NOT_CONNECTED;
use super::views::{gateways, scope};
use super::{Answer, Debug, Question};

/// What is kept as it is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// The mesh configuration with its defaults, these alone while there is none; null when it cannot be used.
    pub mesh: Value,
    /// Objects of Istio's API as JSON.
    pub objects: Vec<Arc<str>>,
    /// Templates of injection, by name.
    pub templates: BTreeMap<String, String>,
}

/// What is written at the moment of a question.
pub type Ask = Arc<dyn Fn() -> Written + Send + Sync>;

/// Kinds of the objects that proxies' configuration is made from: group, version, kind.
const FOLLOWED: [(&str, &str, &str); 10] = [
    ("networking.istio.io", "v1", "DestinationRule"),
    ("networking.istio.io", "v1", "Gateway"),
    ("networking.istio.io", "v1", "ServiceEntry"),
    ("networking.istio.io", "v1", "Sidecar"),
    ("networking.istio.io", "v1", "VirtualService"),
    ("networking.istio.io", "v1", "WorkloadEntry"),
    ("security.istio.io", "v1", "PeerAuthentication"),
    ("security.istio.io", "v1", "AuthorizationPolicy"),
    ("security.istio.io", "v1", "RequestAuthentication"),
    ("telemetry.istio.io", "v1", "Telemetry"),
];

/// `/debug/configz`: the configuration objects.
pub(super) fn objects(debug: &Debug) -> Answer {
    Answer::Listed((debug.written)().objects)
}

/// The text of a list of JSON texts.
pub(super) fn joined(texts: &[Arc<str>]) -> String {
    let length: usize = texts.iter().map(|text| text.len() + 1).sum();
    let mut list = String::with_capacity(length + 2);
    list.push('[');
    for (place, text) in texts.iter().enumerate() {
        if place > 0 {
            list.push(',');
        }
        list.push_str(text);
    }
    list.push(']');
    list
}

/// The same for people. Objects are parsed for it, one after the other.
pub(super) fn indented(texts: &[Arc<str>]) -> String {
    let mut list = String::from("[");
    for (place, text) in texts.iter().enumerate() {
        list.push_str(if place > 0 { ",\n  " } else { "\n  " });
        match serde_json::from_str::<Value>(text) {
            // Line breaks of what is said are escaped.
            Ok(value) => list.push_str(&format!("{value:#}").replace('\n', "\n  ")),
            Err(_) => list.push_str(text),
        }
    }
    list.push_str(if texts.is_empty() { "]" } else { "\n]" });
    list
}

/// `/debug/resourcesz`: the kinds that proxies' configuration is made from.
pub(super) fn followed() -> Answer {
    let kinds = FOLLOWED.iter();
    let kinds = kinds
        .map(|(group, version, kind)| json!({"Group": group, "Version": version, "Kind": kind}));
    Answer::Json(kinds.collect())
}

/// `/debug/authorizationz`: the AuthorizationPolicies by namespace.
pub(super) fn authorizationz(debug: &Debug) -> Answer {
    Answer::Json(json!({"authorization_policies": policies(debug)}))
}

/// `/debug/pushcontext`: what concerns the whole mesh.
pub(super) fn pushcontext(debug: &Debug) -> Answer {
    Answer::Json(json!({
        "AuthorizationPolicies": policies(debug),
        "NetworkGateways": gateways(debug),
        "UnresolvedGateways": null,
    }))
}

fn policies(debug: &Debug) -> Value {
    let by_namespace = by_namespace(debug, ("security.istio.io", "AuthorizationPolicy"), |one| {
        let metadata = &one["metadata"];
        json!({
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "annotations": metadata["annotations"],
            "spec": one["spec"],
        })
    });
    json!({"namespace_to_policies": by_namespace, "root_namespace": root_namespace(debug)})
}

/// `/debug/telemetryz`: the Telemetries by namespace; with `proxyID=`, those that hold for one proxy and what they
/// say together, later ones over earlier ones.
pub(super) fn telemetryz(debug: &Debug, question: &Question) -> Answer {
    let Some(id) = question.parameter("proxyID").filter(|id| !id.is_empty()) else {
        let by_namespace = by_namespace(debug, TELEMETRY, |one| {
            let metadata = &one["metadata"];
            json!({"name": metadata["name"], "namespace": metadata["namespace"], "spec": one["spec"]})
        });
        let root = root_namespace(debug);
        let telemetries = json!({"namespace_to_telemetries": by_namespace, "root_namespace": root});
        return Answer::Json(json!({"telemetries": telemetries}));
    };
    let found = debug.connections.find(id);
    let Some(connection) = found.filter(|one| question.may_see(&one.namespace)) else {
        return Answer::Refused(404, NOT_CONNECTED);
    };
    let Some(scope) = scope(debug, &connection) else {
        return Answer::Refused(503, "there is no configuration yet\n");
    };
    let written: Vec<Value> = of_kind(debug, TELEMETRY).collect();
    let held = scope.telemetry.origin.iter().filter_map(|origin| {
        written.iter().find(|one| {
            let metadata = &one["metadata"];
            metadata["name"] == *origin.name
                && metadata["namespace"].as_str() == origin.namespace.as_deref()
        })
    });
    Answer::Json(together(held, &root_namespace(debug)))
}

const TELEMETRY: (&str, &str) = ("telemetry.istio.io", "Telemetry");

/// What levels say together, under upstream's keys.
fn together<'a>(levels: impl Iterator<Item = &'a Value>, root: &str) -> Value {
    let named = |one: &Value| {
        let metadata = &one["metadata"];
        json!({"Namespace": metadata["namespace"], "Name": metadata["name"]})
    };
    let nobody = json!({"Namespace": "", "Name": ""});
    let mut keys: Map<String, Value> = ["Root", "Proxy", "Namespace", "Workload"]
        .map(|key| (key.to_owned(), nobody.clone()))
        .into_iter()
        .collect();
    let [mut metrics, mut logging, mut tracing] = [const { Vec::new() }; 3];
    for one in levels {
        let spec = &one["spec"];
        let selects = !spec["selector"].is_null()
            || !spec["targetRef"].is_null()
            || !spec["targetRefs"].is_null();
        let key = match selects {
            true => "Workload",
            false if one["metadata"]["namespace"] == root => "Root",
            false => "Proxy",
        };
        keys.insert(key.to_owned(), named(one));
        let part = |field: &str| spec[field].as_array().cloned().unwrap_or_default();
        metrics.extend(part("metrics"));
        tracing.extend(part("tracing"));
        let logs = part("accessLogging");
        if !logs.is_empty() {
            let mut level = json!({"Logging": logs});
            level[key] = named(one);
            logging.push(level);
        }
    }
    keys.insert("Metrics".to_owned(), metrics.into());
    keys.insert("Logging".to_owned(), logging.into());
    keys.insert("Tracing".to_owned(), tracing.into());
    Value::Object(keys)
}

/// `/debug/mesh`: the settings of the mesh.
pub(super) fn mesh_config(debug: &Debug) -> Answer {
    Answer::Json((debug.written)().mesh)
}

/// `/debug/inject`: the templates in force that are written, by name.
pub(super) fn inject(debug: &Debug) -> Answer {
    Answer::Json(json!((debug.written)().templates))
}

fn root_namespace(debug: &Debug) -> String {
    let world = debug.worlds.borrow().clone();
    world.map_or_else(
        || debug.system_namespace.clone(),
        |world| world.snapshot().mesh.root_namespace.clone(),
    )
}

/// The objects of a kind. Others are parsed only if they mention it.
fn of_kind(
    debug: &Debug,
    (group, kind): (&'static str, &'static str),
) -> impl Iterator<Item = Value> + use<> {
    let objects = (debug.written)().objects.into_iter();
    let name = format!("\"{kind}\"");
    let objects = objects.filter(move |text| text.contains(&name));
    let objects = objects.filter_map(|text| serde_json::from_str::<Value>(&text).ok());
    objects.filter(move |object| {
        let version = object["apiVersion"].as_str().unwrap_or_default();
        object["kind"] == kind && version.split_once('/').is_some_and(|(of, _)| of == group)
    })
}

/// The objects of a kind by their namespaces, oldest first.
fn by_namespace(
    debug: &Debug,
    kind: (&'static str, &'static str),
    shown: impl Fn(&Value) -> Value,
) -> BTreeMap<String, Vec<Value>> {
    let mut objects: Vec<Value> = of_kind(debug, kind).collect();
    let text = |object: &Value, field: &str| {
        let text = object["metadata"][field].as_str();
        text.unwrap_or_default().to_owned()
    };
    objects.sort_by_key(|one| {
        let [created, name, namespace] =
            ["creationTimestamp", "name", "namespace"].map(|field| text(one, field));
        (created, name, namespace)
    });
    let mut by_namespace: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for object in &objects {
        let namespace = text(object, "namespace");
        by_namespace
            .entry(namespace)
            .or_default()
            .push(shown(object));
    }
    by_namespace
}
