//! Standing for a Lease: work that one process at a time may do follows [`Leadership`].
//!
//! Writes carry the resource version that the decision was made from, so two candidates cannot both win;
//! others' clocks are not trusted, only how long a Lease stayed unchanged here; a holder that cannot renew
//! stops calling itself leader before anyone else may take over.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::Shutdown;

/// `true` while this process holds the Lease.
pub type Leadership = watch::Receiver<bool>;

/// How long an unchanged Lease keeps others away.
const DURATION: Duration = Duration::from_secs(15);
/// A holder that could not renew for this long steps down; less than [`DURATION`].
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Between attempts, and between renewals.
const RETRY: Duration = Duration::from_secs(2);
/// For one call of the API server.
const CALL: Duration = Duration::from_secs(5);

/// Which Lease, and who stands for it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub lease: String,
    /// Unique among the candidates: the pod's name.
    pub identity: String,
}

/// Stands for the Lease until `shutdown`, then gives it up if held.
pub fn stand(
    client: Client,
    candidate: Candidate,
    shutdown: Shutdown,
) -> (Leadership, JoinHandle<()>) {
    let (sender, leadership) = watch::channel(false);
    let task = tokio::spawn(async move {
        let api = Api::namespaced(client, &candidate.namespace);
        let mut election = Election {
            api,
            candidate,
            seen: None,
            renewed: None,
        };
        loop {
            election.attempt().await;
            let leads = election.leads(Instant::now());
            if sender.send_if_modified(|held| std::mem::replace(held, leads) != leads) {
                let Candidate {
                    lease, identity, ..
                } = &election.candidate;
                info!(lease, identity, leads, "leadership changed");
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep(election.at_most(RETRY, Instant::now())) => {}
            }
        }
        sender.send_replace(false);
        election.give_up().await;
    });
    (leadership, task)
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Api(#[from] kube::Error),
    #[error("no answer in time")]
    Slow,
}

struct Election {
    api: Api<Lease>,
    candidate: Candidate,
    /// The Lease's resource version and when it was first seen here.
    seen: Option<(String, Instant)>,
    /// Start of the last call by which we held it.
    renewed: Option<Instant>,
}

impl Election {
    fn leads(&self, now: Instant) -> bool {
        self.renewed
            .is_some_and(|renewed| now.duration_since(renewed) < RENEW_DEADLINE)
    }

    /// `wait`, cut short so that the end of our leadership is not slept through.
    fn at_most(&self, wait: Duration, now: Instant) -> Duration {
        match self.renewed {
            Some(renewed) if self.leads(now) => wait.min(renewed + RENEW_DEADLINE - now),
            _ => wait,
        }
    }

    async fn attempt(&mut self) {
        let started = Instant::now();
        let limit = self.at_most(CALL, started);
        match timeout(limit, self.try_hold(started)).await {
            Ok(Ok(true)) => self.renewed = Some(started),
            Ok(Ok(false)) => self.renewed = None,
            // Unknown: what was held stays so until the deadline.
            Ok(Err(error)) => self.complain(&error),
            Err(_) => self.complain(&Error::Slow),
        }
    }

    fn complain(&self, error: &Error) {
        let Candidate {
            namespace, lease, ..
        } = &self.candidate;
        warn!(%error, "lease {namespace}/{lease} could not be read or written, trying again");
    }

    async fn try_hold(&mut self, now: Instant) -> Result<bool, Error> {
        let Some(lease) = self.api.get_opt(&self.candidate.lease).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.candidate.lease.clone()),
                    ..Default::default()
                },
                spec: Some(claim(&self.candidate.identity, None)),
            };
            return won(self.api.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let unchanged_since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => self.seen.insert((version, now)).1,
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let unchanged_for = now.duration_since(unchanged_since);
        if !may_claim(&spec, &self.candidate.identity, unchanged_for) {
            return Ok(false);
        }
        let claimed = Lease {
            spec: Some(claim(&self.candidate.identity, Some(&spec))),
            ..lease
        };
        let name = &self.candidate.lease;
        won(self
            .api
            .replace(name, &PostParams::default(), &claimed)
            .await)
    }

    async fn give_up(&self) {
        if !self.leads(Instant::now()) {
            return;
        }
        let release = async {
            let lease = self.api.get(&self.candidate.lease).await?;
            let spec = lease.spec.clone().unwrap_or_default();
            if spec.holder_identity.as_ref() != Some(&self.candidate.identity) {
                return Ok(());
            }
            let released = Lease {
                spec: Some(LeaseSpec {
                    holder_identity: None,
                    renew_time: Some(MicroTime(Timestamp::now())),
                    ..spec
                }),
                ..lease
            };
            let name = &self.candidate.lease;
            self.api
                .replace(name, &PostParams::default(), &released)
                .await?;
            Ok::<(), Error>(())
        };
        // Not released in time: others take over when it runs out.
        if let Ok(Err(error)) = timeout(CALL, release).await {
            self.complain(&error);
        }
    }
}

/// A conflict, or an object that someone else made first, means that another candidate won this time.
fn won(written: kube::Result<Lease>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether `identity` may write itself into a Lease that stayed as it is for `unchanged_for`.
fn may_claim(lease: &LeaseSpec, identity: &str, unchanged_for: Duration) -> bool {
    let holder = lease.holder_identity.as_deref().unwrap_or_default();
    let seconds = lease.lease_duration_seconds.unwrap_or_default();
    let lasts = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    holder.is_empty() || holder == identity || unchanged_for >= lasts
}

/// The Lease as `identity` holds it, from now on.
fn claim(identity: &str, previous: Option<&LeaseSpec>) -> LeaseSpec {
    let now = MicroTime(Timestamp::now());
    let seconds = i32::try_from(DURATION.as_secs()).expect("a few seconds");
    let held = LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(seconds),
        renew_time: Some(now.clone()),
        ..previous.cloned().unwrap_or_default()
    };
    if previous.is_some_and(|lease| lease.holder_identity.as_deref() == Some(identity)) {
        return held;
    }
    let transitions = previous.and_then(|lease| lease.lease_transitions);
    LeaseSpec {
        acquire_time: Some(now),
        lease_transitions: Some(transitions.map_or(0, |count| count.saturating_add(1))),
        ..held
    }
}

#[cfg(test)]
mod tests;
