//! Keeps the CA in force: watches the two Secrets and carries out what `secret` decides.

use std::sync::Arc;
use std::time::Duration;

use base::names;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use pki::OffsetDateTime;
use serve::Shutdown;
use serve::leader::Leadership;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::health::{Health, authority};
use crate::secret::{Seen, State, Step, next_step};
use crate::{Root, Settings};

/// For making a root and storing it.
const CALL: Duration = Duration::from_secs(30);
/// First and longest pause after a failed write.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));
/// How often the CA's end is looked at.
const LOOK: Duration = Duration::from_secs(3600);

type Events = std::pin::Pin<Box<dyn Stream<Item = watcher::Result<Event<Secret>>> + Send>>;

/// Runs until `shutdown`; every change of the CA in force is sent to `root`, and how it is to `health`.
pub async fn keep(
    settings: Settings,
    mut leadership: Leadership,
    root: watch::Sender<Option<Arc<Root>>>,
    health: Arc<watch::Sender<Health>>,
    shutdown: Shutdown,
) {
    let api: Api<Secret> = Api::namespaced(settings.client.clone(), &settings.namespace);
    let mut own = events(
        settings.client.clone(),
        &settings.namespace,
        names::CA_SECRET,
    );
    let mut plugged_in = events(
        settings.client.clone(),
        &settings.namespace,
        names::PLUGGED_IN_CA_SECRET,
    );
    let mut state = State::default();
    let mut complaint = None;
    let mut pause = PAUSES.0;
    loop {
        state.leads = *leadership.borrow_and_update();
        let mut retry = None;
        let now = OffsetDateTime::now_utc();
        match next_step(&state, now) {
            // What was not read yet cannot be judged, and what its watch said stands.
            Step::Rest if state.unread() => {}
            Step::Rest => complaint = None,
            Step::Adopt(new) => {
                announce(&new, state.root.as_deref());
                let new: Arc<Root> = Arc::from(new);
                state.root = Some(new.clone());
                root.send_replace(Some(new));
                continue;
            }
            Step::Complain(text) => {
                if complaint.as_ref() != Some(&text) {
                    error!("{text}");
                    complaint = Some(text);
                }
            }
            step @ (Step::Create | Step::Restore(_)) => match write(&api, &settings, step).await {
                // What was stored, by whomever, counts.
                Ok(stored) => {
                    pause = PAUSES.0;
                    state.own = Seen::Present(Box::new(stored));
                    continue;
                }
                Err(error) => {
                    let name = format!("{}/{}", settings.namespace, names::CA_SECRET);
                    warn!(%error, "secret {name} could not be created, trying again");
                    complaint = Some(format!("secret {name} could not be created: {error}"));
                    retry = Some(pause);
                    pause = (pause * 2).min(PAUSES.1);
                }
            },
        }
        let authority = authority(state.root.as_deref(), complaint.as_deref(), now);
        health.send_if_modified(|health| {
            let differs = health.authority != authority;
            health.authority = authority;
            differs
        });
        let retry = sleep(retry.unwrap_or(LOOK));
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(event) = own.next() => {
                complaint = observe(&mut state.own, event, names::CA_SECRET).or(complaint);
            }
            Some(event) = plugged_in.next() => {
                let name = names::PLUGGED_IN_CA_SECRET;
                complaint = observe(&mut state.plugged_in, event, name).or(complaint);
            }
            Ok(()) = leadership.changed() => {}
            () = retry => {}
        }
    }
}

fn events(client: Client, namespace: &str, name: &str) -> Events {
    let api: Api<Secret> = Api::namespaced(client, namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    watcher(api, config).default_backoff().boxed()
}

/// Takes in an event; what the watch complains of when it cannot even list.
fn observe(seen: &mut Seen, event: watcher::Result<Event<Secret>>, name: &str) -> Option<String> {
    match event {
        Ok(Event::Apply(secret) | Event::InitApply(secret)) => {
            *seen = Seen::Present(Box::new(secret));
        }
        Ok(Event::Delete(_)) => *seen = Seen::Absent,
        Ok(Event::Init) => *seen = Seen::Unknown,
        // Listed, and it was not there.
        Ok(Event::InitDone) if *seen == Seen::Unknown => *seen = Seen::Absent,
        Ok(Event::InitDone) => {}
        Err(error) => {
            warn!(%error, "watching secret {name} failed, trying again");
            return (*seen == Seen::Unknown)
                .then(|| format!("secret {name} cannot be read: {error}"));
        }
    }
    None
}

/// Failures of the two writes.
#[derive(Debug, thiserror::Error)]
enum CreateError {
    #[error("making a root: {0}")]
    Generate(#[from] pki::Error),
    #[error("{0}")]
    Api(#[from] kube::Error),
    #[error("no answer in time")]
    Slow,
}

async fn write(api: &Api<Secret>, settings: &Settings, step: Step) -> Result<Secret, CreateError> {
    match timeout(CALL, create(api, settings, step)).await {
        Ok(written) => written,
        Err(_) => Err(CreateError::Slow),
    }
}

async fn create(api: &Api<Secret>, settings: &Settings, step: Step) -> Result<Secret, CreateError> {
    let root = match step {
        Step::Restore(root) => {
            warn!(
                "secret {} was deleted, restoring it from memory",
                names::CA_SECRET
            );
            root
        }
        _ => {
            let trust_domain = settings.trust_domain.clone();
            // An RSA key takes up to a second of a CPU.
            let generate = move || Root::generate(&trust_domain, OffsetDateTime::now_utc());
            let generated = tokio::task::spawn_blocking(generate).await;
            Arc::new(generated.expect("key generation does not panic")?)
        }
    };
    let secret = root.to_secret(&settings.namespace);
    match api.create(&PostParams::default(), &secret).await {
        Ok(stored) => {
            info!("secret {}/{} created", settings.namespace, names::CA_SECRET);
            Ok(stored)
        }
        Err(kube::Error::Api(status)) if status.code == 409 => {
            Ok(api.get(names::CA_SECRET).await?)
        }
        Err(error) => Err(error.into()),
    }
}

fn announce(new: &Root, old: Option<&Root>) {
    let certificate = new.signer().certificate();
    let (subject, until) = (&certificate.subject, certificate.not_after);
    match old {
        None => info!(source = ?new.source, subject, %until, "CA in force"),
        Some(old) if old.roots() == new.roots() => {
            info!(source = ?new.source, subject, %until, "the CA was renewed under the same roots");
        }
        Some(_) => warn!(
            source = ?new.source, subject, %until,
            "the CA was replaced together with its root: workloads trust it once they have the new root"
        ),
    }
}

#[cfg(test)]
mod tests;
