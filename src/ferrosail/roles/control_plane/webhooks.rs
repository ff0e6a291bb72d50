//! The port that the API server calls, and the bundle by which it trusts it.

use serve::http::{self, Limits, Transport};
use serve::tls::{self, Clients};
use tokio::net::TcpListener;
use webhook::ca_bundle;

use super::Parts;
use super::authority::Authority;

pub fn start(parts: &mut Parts<'_>, authority: &Authority, port: TcpListener) {
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
        webhook::router(injector),
        Limits::default(),
        shutdown.clone(),
    );
    let keeping = ca_bundle::keep(
        parts.client.clone(),
        options.revision().to_owned(),
        authority.bundle.clone(),
        ca_bundle::Metrics::register(parts.registry),
        shutdown.clone(),
    );
    let ready = parts.readiness.check("injection", "its settings");
    let services = &mut *parts.services;
    services.spawn("injection settings", following);
    services.pass_when_some("injection readiness", follow, ready);
    services.spawn("webhook server", serving);
    services.spawn("caBundle keeper", keeping);
}
