//! The CA's life and what follows from it: the serving certificate, and the roots by which others trust and are
//! trusted.

use std::sync::Arc;

use ca::Root;
use serve::tls;
use tokio::sync::watch;

use super::Parts;

/// What the other parts need of the CA.
pub struct Authority {
    /// The CA in force.
    pub root: watch::Receiver<Option<Arc<Root>>>,
    /// How it is.
    pub health: watch::Receiver<ca::Health>,
    /// The certificate of our own ports.
    pub serving: tls::Serving,
    /// By what client certificates are judged.
    pub anchors: tls::Roots,
    /// What the API server is to trust our webhooks by.
    pub bundle: watch::Receiver<Option<Arc<str>>>,
}

pub fn start(parts: &mut Parts<'_>) -> Authority {
    let ready = parts.readiness.check("ca", "a usable CA");
    let serving_ready = parts.readiness.check("serving certificate", "the CA");
    let settings = ca::Settings {
        client: parts.client.clone(),
        namespace: parts.options.namespace.clone(),
        trust_domain: parts.trust_domain.clone(),
        identity: parts.identity.clone(),
    };
    let shutdown = parts.shutdown;
    let ca::Running { root, health, task } = ca::run(settings, shutdown.clone());
    let services = &mut *parts.services;
    services.join("ca", task);
    services.pass_when_some("ca readiness", root.clone(), ready);
    let hosts = parts.options.hosts();
    let (serving, task) = ca::serving::serve(root.clone(), hosts, shutdown.clone());
    services.join("serving certificate", task);
    services.pass_when_some(
        "serving certificate readiness",
        serving.clone(),
        serving_ready,
    );
    let anchors = |root: &Option<Arc<Root>>| {
        let roots = root.as_ref()?.roots().iter();
        Some(roots.map(|root| root.der().clone()).collect())
    };
    let bundle = |root: &Option<Arc<Root>>| Some(Arc::from(root.as_ref()?.roots_pem()));
    Authority {
        anchors: services.publish("trust publisher", root.clone(), anchors, shutdown),
        bundle: services.publish("root publisher", root.clone(), bundle, shutdown),
        root,
        health,
        serving,
    }
}
