//! What is wrong with Telemetries beyond their own form: providers that nobody has or that cannot do
//! what they are named for, and settings without effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::mesh_config::Use;
use api::snapshot::Object;
use api::telemetry::{ProviderRef, Telemetry};
use base::{ObjectRef, Problem};

use super::Known;

type Written = Object<Telemetry>;

/// All that is wrong. `root` is the one for the whole mesh.
pub(super) fn of(
    known: &Known,
    root: Option<&Written>,
    all: &BTreeMap<String, Vec<Arc<Written>>>,
) -> Vec<Problem> {
    let mut problems: Vec<Problem> = untraced(known, all).into_iter().collect();
    of_mesh(known, &mut problems);
    for telemetry in all.values().flatten() {
        providers(known, telemetry, &mut problems);
        without_effect(known, root, telemetry, &mut problems);
        filters(telemetry, &mut problems);
    }
    problems
}

/// Requests are traced, and nobody takes the spans.
fn untraced(known: &Known, all: &BTreeMap<String, Vec<Arc<Written>>>) -> Option<Problem> {
    let config = &known.config;
    let own = config.default_config.tracing.as_ref();
    let collected = own.is_some_and(|own| {
        let collectors = [&own.zipkin, &own.datadog, &own.lightstep];
        collectors.into_iter().any(Option::is_some)
    });
    let named = !config.default_providers.tracing.is_empty();
    let mut entries = all.values().flatten().flat_map(|own| &own.spec.tracing);
    let chosen = entries.any(|entry| !entry.providers.is_empty());
    if !config.asks_for_tracing || collected || named || chosen {
        return None;
    }
    let root = &config.root_namespace;
    let subject = settings(known);
    let message = format!(
        "is true, but no provider takes spans: add one of zipkin, opentelemetry, datadog, skywalking to \
         extensionProviders and name it in defaultProviders.tracing or in a Telemetry of namespace {root}"
    );
    let field = "meshConfig.enableTracing";
    Some(Problem::warning(
        &subject,
        field,
        "TracingHasNoProvider",
        message,
    ))
}

/// The object that the mesh's own settings stand in.
fn settings(known: &Known) -> ObjectRef {
    ObjectRef {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        namespace: Some(known.config.root_namespace.clone()),
        name: "istio".to_owned(),
    }
}

/// Providers that the mesh names where Telemetries say nothing.
fn of_mesh(known: &Known, into: &mut Vec<Problem>) {
    let named = &known.config.default_providers;
    for (list, usage, names) in [
        ("accessLogging", Use::AccessLogging, &named.access_logging),
        ("tracing", Use::Tracing, &named.tracing),
        ("metrics", Use::Metrics, &named.metrics),
    ] {
        for (place, name) in names.iter().enumerate() {
            if let Err(why) = known.usable(name, usage) {
                let field = format!("meshConfig.defaultProviders.{list}[{place}]");
                let subject = settings(known);
                into.push(Problem::error(&subject, field, "UnusableProvider", why));
            }
        }
    }
}

fn providers(known: &Known, telemetry: &Written, into: &mut Vec<Problem>) {
    let spec = &telemetry.spec;
    let logs = spec.access_logging.iter().map(|entry| &entry.providers);
    let spans = spec.tracing.iter().map(|entry| &entry.providers);
    let metrics = spec.metrics.iter().map(|entry| &entry.providers);
    let logs = unusable(known, Use::AccessLogging, logs);
    let spans = unusable(known, Use::Tracing, spans);
    let metrics = unusable(known, Use::Metrics, metrics);
    for (list, found) in [
        ("accessLogging", logs),
        ("tracing", spans),
        ("metrics", metrics),
    ] {
        for (field, why) in found {
            let field = format!("spec.{list}{field}");
            let subject = &telemetry.meta.reference;
            into.push(Problem::error(subject, field, "UnusableProvider", why));
        }
    }
}

/// Fields that name providers of no use, and why.
fn unusable<'a>(
    known: &Known,
    usage: Use,
    entries: impl Iterator<Item = &'a Vec<ProviderRef>>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (place, providers) in entries.enumerate() {
        for (number, provider) in providers.iter().enumerate() {
            if let Err(why) = known.usable(&provider.name, usage) {
                found.push((format!("[{place}].providers[{number}].name"), why));
            }
        }
    }
    found
}

/// Logs with a filter that Envoy cannot read are not written.
fn filters(telemetry: &Written, into: &mut Vec<Problem>) {
    for (place, entry) in telemetry.spec.access_logging.iter().enumerate() {
        let filter = entry.filter.as_ref();
        let checked = filter.map_or(Ok(()), |filter| api::cel::check(&filter.expression));
        if let Err(wrong) = checked {
            let field = format!("spec.accessLogging[{place}].filter.expression");
            let subject = &telemetry.meta.reference;
            into.push(Problem::error(subject, field, "InvalidValue", wrong));
        }
    }
}

/// Access logs that are switched off where no provider is in force: the mesh's own stay.
fn without_effect(
    known: &Known,
    root: Option<&Written>,
    telemetry: &Written,
    into: &mut Vec<Problem>,
) {
    let config = &known.config;
    if config.access_log_file.is_empty() || !config.default_providers.access_logging.is_empty() {
        return;
    }
    let above = root.filter(|root| root.meta.namespace() != telemetry.meta.namespace());
    let above = above.into_iter().flat_map(|root| &root.spec.access_logging);
    let mut named = above.into_iter().any(|entry| !entry.providers.is_empty());
    for (place, entry) in telemetry.spec.access_logging.iter().enumerate() {
        named |= !entry.providers.is_empty();
        if entry.disabled == Some(true) && !named {
            into.push(Problem::warning(
                &telemetry.meta.reference,
                format!("spec.accessLogging[{place}].disabled"),
                "WithoutEffect",
                "is true, but no provider is in force that it would switch off: what accessLogFile of the mesh \
                 says is written all the same; expected defaultProviders.accessLogging instead of accessLogFile",
            ));
        }
    }
}
