//! What istiod reads at start: mesh configuration, injection settings, and the values that the
//! installation was rendered from.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Map, Value, json};

use super::Context;
use crate::Object;
use crate::labels::{labels, metadata};
use crate::merge::{map_at, merge, set, sorted};
use crate::values::some;

/// ConfigMap with further roots that keys of token issuers are fetched with.
pub(super) const JWKS_ROOTS: &str = "pilot-jwks-extra-cacerts";
const DESCRIPTION: &str = "The values that this revision was rendered from, for people and tools to read; changes to them have no effect.";

pub(super) fn build(context: Context<'_>) -> Vec<Object> {
    let values = &context.pilot.values;
    let mut maps = Vec::new();
    if values.config_map {
        maps.push(config_map(context, "istio", mesh_data(context)));
    }
    if !values.global.omit_sidecar_injector_config_map {
        let data = injector_data(context);
        maps.push(config_map(context, "istio-sidecar-injector", data));
    }
    if !values.jwks_resolver_extra_root_ca.is_empty() && context.runs_here() {
        let data = BTreeMap::from([(
            "extra.pem".to_owned(),
            values.jwks_resolver_extra_root_ca.clone(),
        )]);
        maps.push(config_map(context, JWKS_ROOTS, data));
    }
    let mut shown = config_map(context, "values", values_data(context));
    shown.metadata.annotations = Some(labels([("kubernetes.io/description", DESCRIPTION)]));
    maps.push(shown);
    maps.iter().map(Object::of).collect()
}

fn config_map(context: Context<'_>, name: &str, data: BTreeMap<String, String>) -> ConfigMap {
    ConfigMap {
        metadata: metadata(
            context.install.revisioned(name),
            &context.pilot.namespace,
            context.labels(),
        ),
        data: Some(data),
        ..Default::default()
    }
}

fn mesh_data(context: Context<'_>) -> BTreeMap<String, String> {
    let networks = &context.pilot.values.global.mesh_networks;
    BTreeMap::from([
        ("mesh".to_owned(), yaml(&Value::Object(mesh(context)))),
        (
            "meshNetworks".to_owned(),
            yaml(&json!({ "networks": networks })),
        ),
    ])
}

/// The mesh configuration: what follows from other values, beneath what the user wrote.
fn mesh(context: Context<'_>) -> Map<String, Value> {
    let values = &context.pilot.values;
    let global = &values.global;
    let mut mesh = Map::new();
    set(&mut mesh, &["trustDomain"], json!("cluster.local"));
    set(&mut mesh, &["rootNamespace"], json!(global.istio_namespace));
    let given = map_at(&context.pilot.merged, &["meshConfig"]);
    let providers_given = given
        .get("defaultProviders")
        .and_then(Value::as_object)
        .is_some_and(|providers| !providers.is_empty());
    let telemetry = &values.telemetry;
    let built_in = !providers_given && telemetry.enabled && telemetry.v2.enabled;
    let mut metrics = Vec::new();
    if built_in && telemetry.v2.prometheus.enabled {
        metrics.push("prometheus");
    }
    if built_in && telemetry.v2.stackdriver.enabled {
        metrics.push("stackdriver");
        set(
            &mut mesh,
            &["defaultProviders", "accessLogging"],
            json!(["stackdriver"]),
        );
    }
    if !metrics.is_empty() {
        set(&mut mesh, &["defaultProviders", "metrics"], json!(metrics));
    }
    let mut proxy = Map::new();
    set(
        &mut proxy,
        &["discoveryAddress"],
        json!(context.discovery_address()),
    );
    if let Some(id) = some(&global.mesh_id) {
        set(&mut proxy, &["meshId"], json!(id));
    }
    if let Some(variant) = some(&global.proxy.variant).or_else(|| some(&global.variant)) {
        set(&mut proxy, &["image", "imageType"], json!(variant));
    }
    if let Some(tracing) = tracing(context) {
        set(&mut proxy, &["tracing"], tracing);
    }
    set(&mut mesh, &["defaultConfig"], Value::Object(proxy));
    merge(&mut mesh, given);
    mesh
}

/// Where spans go, for the tracers that values can name.
fn tracing(context: Context<'_>) -> Option<Value> {
    let global = &context.pilot.values.global;
    let name = global.proxy.tracer.as_str();
    let tracer = global.tracer.get(name);
    let setting = |key: &str| tracer.and_then(|tracer| tracer.get(key)).cloned();
    let found = match name {
        "zipkin" => {
            let default = format!("zipkin.{}:9411", global.istio_namespace);
            json!({"address": setting("address").unwrap_or(json!(default))})
        }
        "datadog" => json!({"address": setting("address").unwrap_or(json!("$(HOST_IP):8126"))}),
        "lightstep" => {
            json!({"address": setting("address"), "accessToken": setting("accessToken")})
        }
        "stackdriver" => json!({
            "debug": setting("debug").unwrap_or(json!(false)),
            "maxNumberOfAttributes": setting("maxNumberOfAttributes").unwrap_or(json!(200)),
            "maxNumberOfAnnotations": setting("maxNumberOfAnnotations").unwrap_or(json!(200)),
            "maxNumberOfMessageEvents": setting("maxNumberOfMessageEvents").unwrap_or(json!(200)),
        }),
        _ => return None,
    };
    Some(json!({ name: found }))
}

/// How pods are injected. Templates are those that the user adds; the built-in ones belong to the
/// injector itself.
fn injector_data(context: Context<'_>) -> BTreeMap<String, String> {
    let values = &context.pilot.values;
    let injector = &values.sidecar_injector_webhook;
    let default_templates = match injector.default_templates.as_slice() {
        [] => vec!["sidecar".to_owned()],
        templates => templates.to_vec(),
    };
    let config = json!({
        "alwaysInjectSelector": injector.always_inject_selector,
        "defaultTemplates": default_templates,
        "injectedAnnotations": injector.injected_annotations,
        "neverInjectSelector": injector.never_inject_selector,
        "policy": values.global.proxy.auto_inject,
        // An injector of before templates had names fails on this, rather than inject nothing.
        "template": "{{ Template_Version_And_Istio_Version_Mismatched_Check_Installation }}",
        "templates": injector.templates,
    });
    BTreeMap::from([
        ("config".to_owned(), yaml(&config)),
        (
            "values".to_owned(),
            pretty(&Value::Object(injected_values(context))),
        ),
    ])
}

/// The part of the values that templates may read.
fn injected_values(context: Context<'_>) -> Map<String, Value> {
    let merged = &context.pilot.merged;
    let pick = |from: &Map<String, Value>, keys: &[&str]| -> Map<String, Value> {
        keys.iter()
            .filter_map(|key| Some(((*key).to_owned(), from.get(*key)?.clone())))
            .collect()
    };
    let mut picked = pick(merged, &["global", "sidecarInjectorWebhook", "revision"]);
    let pilot = pick(merged, &["cni", "env"]);
    let gateways = map_at(merged, &["gateways"]);
    let gateways = pick(gateways, &["securityContext", "seccompProfile"]);
    picked.insert("pilot".to_owned(), Value::Object(pilot));
    picked.insert("gateways".to_owned(), Value::Object(gateways));
    picked
}

fn values_data(context: Context<'_>) -> BTreeMap<String, String> {
    let text = |map: &Map<String, Value>| pretty(&Value::Object(map.clone()));
    BTreeMap::from([
        ("original-values".to_owned(), text(&context.pilot.original)),
        ("merged-values".to_owned(), text(&context.pilot.merged)),
    ])
}

/// YAML with keys in order and without a line break at the end, as upstream has it.
fn yaml(value: &Value) -> String {
    api::yaml::print(&sorted(value)).trim_end().to_owned()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(&sorted(value)).expect("a JSON value prints")
}
