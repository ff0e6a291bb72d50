//! Brings the root certificate into every namespace and keeps it there.
//! Level-triggered: what the watches know is compared with what should be, and a failed write is tried again
//! until it succeeds or is no longer needed.

mod table;

use std::sync::Arc;
use std::time::Duration;

use base::names;
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Client;
use kube::api::{Api, PartialObjectMeta, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serve::Shutdown;
use serve::leader::Leadership;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::Root;
use crate::health::Health;
use crate::root_cert::Write;
use table::Table;

/// Writes under way at one moment; the rest waits in the table.
const CONCURRENT: usize = 16;
/// For one write.
const CALL: Duration = Duration::from_secs(15);

/// Runs until `shutdown`; writes only while this process leads. How far it is goes to `health` in any case.
pub async fn distribute(
    client: Client,
    mut root: watch::Receiver<Option<Arc<Root>>>,
    mut leadership: Leadership,
    health: Arc<watch::Sender<Health>>,
    shutdown: Shutdown,
) {
    let names_only = Api::<PartialObjectMeta<Namespace>>::all(client.clone());
    let mut namespaces = watcher(names_only, watcher::Config::default())
        .default_backoff()
        .boxed();
    let mut config_maps = config_maps(client.clone());
    let mut table = Table::default();
    let mut writes = FuturesUnordered::new();
    loop {
        let leads = *leadership.borrow_and_update();
        let current = root.borrow_and_update().clone();
        if let (true, Some(root)) = (leads, &current) {
            while writes.len() < CONCURRENT
                && let Some((namespace, write)) = table.next(root.roots_pem(), Instant::now())
            {
                writes.push(perform(client.clone(), namespace, write));
            }
        }
        if let Some(root) = &current {
            let distribution = table.distribution(root.roots_pem());
            health.send_if_modified(|health| {
                let differs = health.distribution != distribution;
                health.distribution = distribution;
                differs
            });
        }
        let retry = table.next_retry();
        let retry = async {
            match retry {
                Some(at) if leads && current.is_some() => sleep_until(at).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(event) = namespaces.next() => table.namespace(event),
            Some(event) = config_maps.next() => table.config_map(event),
            Some((namespace, written)) = writes.next() => {
                table.written(namespace, written, Instant::now());
            }
            Ok(()) = leadership.changed() => table.recheck_all(),
            Ok(()) = root.changed() => table.recheck_all(),
            () = retry => {}
        }
    }
}

fn config_maps(
    client: Client,
) -> impl Stream<Item = watcher::Result<Event<ConfigMap>>> + Send + Unpin {
    let name = format!("metadata.name={}", names::ROOT_CERT_CONFIG_MAP);
    let config = watcher::Config::default().fields(&name);
    watcher(Api::all(client), config).default_backoff().boxed()
}

/// Carries out `write` and returns what is stored after it.
async fn perform(client: Client, namespace: String, write: Write) -> (String, Written) {
    let api = Api::namespaced(client, &namespace);
    let written = match timeout(CALL, stored_by(&api, write)).await {
        Ok(written) => written,
        Err(_) => Err(kube::Error::Service("no answer in time".into())),
    };
    (namespace, written)
}

async fn stored_by(api: &Api<ConfigMap>, write: Write) -> Written {
    let params = PostParams::default();
    let name = names::ROOT_CERT_CONFIG_MAP;
    let written = match &write {
        Write::Nothing => return api.get_opt(name).await,
        Write::Create(config_map) => api.create(&params, config_map).await,
        Write::Replace(config_map) => api.replace(name, &params, config_map).await,
    };
    match (written, write) {
        // Someone else was first and the watch is late: compare with what is there.
        (Err(kube::Error::Api(status)), _) if status.code == 409 => api.get_opt(name).await,
        (Err(kube::Error::Api(status)), Write::Replace(_)) if status.code == 404 => Ok(None),
        (written, _) => written.map(Some),
    }
}

/// What a namespace holds after a write.
type Written = kube::Result<Option<ConfigMap>>;
