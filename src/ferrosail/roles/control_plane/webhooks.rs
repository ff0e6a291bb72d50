//! The port that the API server calls, and the bundle by which it trusts it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serve::http::{self, Limits, Transport};
use serve::tls::{self, Clients};
use tokio::net::TcpListener;
use tokio::sync::watch;
use webhook::settings::Injection;
use webhook::{ca_bundle, failure_policy};

use super::Parts;
use super::authority::Authority;

/// Templates of injection as they are written, by name.
pub type Templates = BTreeMap<String, String>;

/// Starts it, and returns the templates that are in force.
pub fn start(
    parts: &mut Parts<'_>,
    authority: &Authority,
    port: TcpListener,
) -> watch::Receiver<Templates> {
    let (options, shutdown) = (parts.options, parts.shutdown);
    let injection = webhook::settings::Objects {
        client: parts.client.clone(),
        namespace: options.namespace.clone(),
        revision: options.revision().to_owned(),
    };
    let (follow, following) = webhook::settings::follow(injection, shutdown.clone());
    let injector = webhook::Injector {
        follow: follow.clone(),
        revision: options.revision().to_owned(),
        compliance_policy: options.compliance_policy.clone(),
        metrics: webhook::Metrics::register(parts.registry),
    };
    let encrypted = tls::server_config(authority.serving.clone(), Clients::Anonymous);
    let serving = http::serve(
        port,
        Transport::Tls(encrypted),
        webhook::router(injector, webhook::Validation::register(parts.registry)),
        Limits::default(),
        shutdown.clone(),
    );
    let (works, looking) = failure_policy::watch_for_refusal(
        parts.client.clone(),
        &options.namespace,
        options.revision(),
        shutdown.clone(),
    );
    let known = ca_bundle::Known {
        roots: authority.bundle.clone(),
        works,
    };
    let keeping = ca_bundle::keep(
        parts.client.clone(),
        options.revision().to_owned(),
        known,
        ca_bundle::Metrics::register(parts.registry),
        shutdown.clone(),
    );
    let ready = parts.readiness.check("injection", "its settings");
    let services = &mut *parts.services;
    let templates = |injection: &Option<Arc<Injection>>| {
        let settings = injection.as_ref().and_then(|known| known.settings.as_ref());
        settings.map_or_else(Templates::new, |settings| settings.written.clone())
    };
    let templates = services.publish("templates publisher", follow.clone(), templates, shutdown);
    services.spawn("injection settings", following);
    services.pass_when_some("injection readiness", follow, ready);
    services.spawn("webhook server", serving);
    services.spawn("caBundle keeper", keeping);
    services.spawn("validation trial", looking);
    templates
}
