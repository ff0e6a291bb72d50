//! The control plane of one Envoy: the engine and the discovery service as in production, and the agent's
//! certificate service, at the sockets where Envoy's bootstrap looks for them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::secret::{self, Secrets, Versioned};
use api::snapshot::World;
use base::SpiffeId;
use mesh::Mesh;
use pki::{OffsetDateTime, Signer, SigningRequest};
use proto::ads;
use serve::Shutdown;
use serve::authenticate::{Authenticate, Credentials, Identity, Refusal, Right};
use serve::metrics::registry;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use xds::{Access, Connections, Debug, Metrics, Push, Resources, Server, Written};

use crate::worlds::Case;

/// Where Envoy's bootstrap expects configuration.
const SOCKET: &str = "etc/istio/proxy/XDS";
const MAX_REQUEST: usize = 4 << 20;

/// Takes every caller for the one proxy, which may read its secrets.
struct Known(Identity);

#[tonic::async_trait]
impl Authenticate for Known {
    async fn authenticate(&self, _: Credentials<'_>) -> Result<Identity, Refusal> {
        Ok(self.0.clone())
    }

    async fn may_read_secrets(&self, _: &Identity) -> Option<Right> {
        let until = Instant::now() + Duration::from_secs(60);
        Some(Right { given: true, until })
    }
}

/// Runs for as long as it is held.
pub struct ControlPlane {
    push: Push,
    meshes: watch::Sender<Option<Arc<Mesh>>>,
    worlds: watch::Sender<Option<World>>,
    _certificates: watch::Sender<Arc<Secrets>>,
    _tasks: JoinSet<()>,
}

impl ControlPlane {
    /// Serves in the proxy's folder; it has nothing to say before [`ControlPlane::become_of`].
    pub async fn start(folder: &Path, case: &Case) -> ControlPlane {
        let mut tasks = JoinSet::new();
        let shutdown = Shutdown::new();
        let (meshes, seen) = watch::channel(None);
        let (worlds, behind) = watch::channel(None);
        let (push, pushing) = xds::push(seen.clone(), behind.clone(), shutdown.clone());
        tasks.spawn(pushing);

        let account = case.node["metadata"]["SERVICE_ACCOUNT"].as_str();
        let spiffe = SpiffeId {
            trust_domain: "cluster.local".to_owned(),
            namespace: case.proxy.namespace.clone(),
            service_account: account.unwrap_or("default").to_owned(),
        };
        let uri = spiffe.to_string();
        let server = Server {
            access: Access::Authenticated(Arc::new(Known(Identity { spiffe }))),
            control_plane: "istiod".to_owned(),
            push: push.clone(),
            metrics: Metrics::register(&mut registry("pilot")),
            debug: Debug {
                connections: Connections::default(),
                meshes: seen,
                worlds: behind,
                authenticate: None,
                system_namespace: "istio-system".to_owned(),
                cluster: "Kubernetes".to_owned(),
                written: Arc::new(Written::default),
            },
            shutdown,
        };
        let router = ads::routes(Arc::new(server), MAX_REQUEST).into_axum_router();
        let socket = agent::listener::at(&folder.join(SOCKET)).expect("a socket");
        tasks.spawn(async move {
            axum::serve(socket, router).await.expect("it serves");
        });

        let (certificates, own) = watch::channel(Arc::new(own(&uri)));
        let socket = agent::sds::listen(&folder.join(agent::sds::SOCKET)).expect("a socket");
        let socket = socket.expect("nobody else serves there");
        tasks.spawn(async move {
            agent::sds::serve(socket, own).await;
        });
        ControlPlane {
            push,
            meshes,
            worlds,
            _certificates: certificates,
            _tasks: tasks,
        }
    }

    /// Brings the engine to a world; answers what the proxy is to have then.
    pub async fn become_of(&self, world: &World, case: &Case) -> Arc<Resources> {
        let (mesh, _) = mesh::compile(world.snapshot());
        let compiled = envoy::derive(&mesh.scope(&case.proxy), &envoy::Memo::default());
        self.worlds.send_replace(Some(world.clone()));
        self.meshes.send_replace(Some(Arc::new(mesh)));
        let subscribed = self.push.subscribe(case.proxy.clone()).await;
        let subscribed = subscribed.expect("the engine runs").borrow().clone();
        // What `compile` prints is a part of what is pushed: certificates are not derived.
        for (type_url, table) in compiled.tables() {
            for name in table.names().iter() {
                let pushed = subscribed.get(type_url, name);
                assert!(
                    pushed.is_some(),
                    "{}: {type_url} {name} is not pushed",
                    case.name
                );
            }
        }
        subscribed
    }
}

/// A certificate of a mesh's CA for `uri`, and its root.
fn own(uri: &str) -> Secrets {
    let now = OffsetDateTime::now_utc();
    let day = time::Duration::days(1);
    let root = pki::self_signed_root("cluster.local", now, day).expect("a root");
    let signer = Signer::new(root.certificate, root.key).expect("a signer");
    let key = pki::PrivateKey::generate_p256().expect("a key");
    let request = pki::signing_request(&key, uri).expect("a request");
    let request = SigningRequest::from_pem(&request).expect("a request");
    let issued = signer.issue_workload(&request, uri, now, day);
    let chain = issued.expect("a certificate").to_pem();
    let versioned = |bytes| {
        let version = "1".to_owned();
        Some(Versioned { version, bytes })
    };
    Secrets {
        own: versioned(secret::own(&chain, &key.to_pem())),
        roots: versioned(secret::roots(&signer.certificate().to_pem())),
    }
}
