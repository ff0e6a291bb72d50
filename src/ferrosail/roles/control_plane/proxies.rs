//! What proxies come for: their configuration, from the engine, and their certificates, on the ports of both.

use std::sync::Arc;

use proto::{ads, certificates};
use serve::authenticate::{self, Authenticate, ClientCertificate, TokenReviewer, Workloads};
use serve::http::{self, Transport};
use serve::tls::{self, Clients};
use source::{MeshMap, Texts};
use tokio::net::TcpListener;
use tokio::sync::watch;
use xds::{Access, Ask, Written};

use super::authority::Authority;
use super::engine::{self, Source};
use super::webhooks::Templates;
use super::{Parts, VERSION, status};

/// Largest xDS request that is read, in bytes (upstream: ISTIO_GPRC_MAXRECVMSGSIZE).
pub const MAX_REQUEST: usize = 4 * 1024 * 1024;

pub(super) fn start(
    parts: &mut Parts<'_>,
    authority: &Authority,
    (told, templates): (&xds::debug::Late, watch::Receiver<Templates>),
    port: TcpListener,
    plaintext_port: TcpListener,
) {
    let (options, shutdown) = (parts.options, parts.shutdown);
    let settings = engine::Settings {
        source: Source::Cluster(parts.client.clone()),
        mesh_map: MeshMap::of_revision(&options.namespace, options.revision()),
        domain: options.domain.clone(),
        features: options.features.clone(),
        metrics: engine::Metrics::register(parts.registry),
        keys: options.keys(),
    };
    let loaded = parts
        .readiness
        .check("configuration", "the API server's objects");
    let engine = engine::start(settings, parts.services, loaded, shutdown);
    let callers = callers(parts);
    let connections = xds::Connections::default();
    status::start(parts, &engine, &connections);
    let debug = xds::Debug {
        connections,
        meshes: engine.meshes,
        worlds: engine.worlds,
        authenticate: Some(callers.clone()),
        system_namespace: options.namespace.clone(),
        cluster: options.cluster_id.clone(),
        written: written(engine.texts, templates),
    };
    let _ = told.set(debug.clone());
    let metrics = xds::Metrics::register(parts.registry);
    let ads = |access| {
        let server = xds::Server {
            access,
            control_plane: options.control_plane(&parts.identity, VERSION),
            push: engine.push.clone(),
            metrics: metrics.clone(),
            debug: debug.clone(),
            shutdown: shutdown.clone(),
        };
        ads::routes(Arc::new(server), MAX_REQUEST)
    };
    let proven = ads(match options.xds_identity_check {
        true => Access::Authenticated(callers.clone()),
        false => Access::Unchecked(callers.clone()),
    });
    let issuer = ca::server::Server {
        authenticate: callers,
        root: authority.root.clone(),
        lifetimes: options.lifetimes(),
        metrics: ca::Metrics::register(parts.registry, authority.root.clone()),
    };
    let proven = certificates::add(proven, Arc::new(issuer), MAX_REQUEST);
    let clients = Clients::MayProve(authority.anchors.clone());
    let proving = Transport::Tls(tls::server_config(authority.serving.clone(), clients));
    let anonymous = ads(Access::Anonymous);
    for (name, port, transport, routes) in [
        ("xDS server", port, proving, proven),
        (
            "plaintext xDS server",
            plaintext_port,
            Transport::Plaintext,
            anonymous,
        ),
    ] {
        let router = routes.into_axum_router();
        let serving = http::serve(port, transport, router, options.limits(), shutdown.clone());
        parts.services.spawn(name, serving);
    }
}

/// What people wrote, for those who ask.
pub fn written(texts: watch::Receiver<Texts>, templates: watch::Receiver<Templates>) -> Ask {
    Arc::new(move || {
        let texts = texts.borrow().clone();
        Written {
            mesh: webhook::settings::whole_mesh(texts.mesh().map_or("", |text| text)),
            objects: texts.objects().cloned().collect(),
            templates: templates.borrow().clone(),
        }
    })
}

/// Who recognises workloads.
fn callers(parts: &mut Parts<'_>) -> Arc<dyn Authenticate> {
    let metrics = authenticate::Metrics::register(parts.registry);
    let trust_domain = parts.trust_domain.clone();
    Arc::new(Workloads {
        certificate: ClientCertificate {
            trust_domain: trust_domain.clone(),
        },
        token: TokenReviewer::new(
            parts.client.clone(),
            parts.options.token_audiences.clone(),
            trust_domain,
            metrics.clone(),
        ),
        metrics,
    })
}
