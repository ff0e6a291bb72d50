//! Keys of issuers of tokens: fetched from where RequestAuthentications say, kept, and fetched again
//! before they are old. What cannot be fetched is told as unknown, and then no token of it is good.
//!
//! Nothing waits for keys but the beginning, and that not for long: proxies are told nothing before all
//! keys of that moment were asked for once, so that a control plane that starts refuses no good tokens.

mod fetch;
mod keyring;
mod metrics;

use std::collections::BTreeMap;
use std::time::Duration;

use api::security::jwt::KeySource;
use api::snapshot::Snapshot;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::Change;
pub use fetch::{Blocked, Fetcher};
use keyring::Keyring;
pub use metrics::Metrics;

/// How long to wait for keys when nothing is said.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keys that are to be fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// From where, and how long to wait for each.
    pub sources: BTreeMap<KeySource, Duration>,
    /// Whether every other source has told what it knew at its start.
    pub settled: bool,
}

impl Wanted {
    /// The keys that the RequestAuthentications of a snapshot need.
    pub fn of(snapshot: &Snapshot, settled: bool) -> Self {
        let mut sources: BTreeMap<KeySource, Duration> = BTreeMap::new();
        let policies = snapshot.request_authentications.values();
        for rule in policies.flat_map(|policy| &policy.spec.jwt_rules) {
            let Some(source) = rule.key_source() else {
                continue;
            };
            let patience = rule.timeout.map_or(PATIENCE, |timeout| timeout.0);
            let known = sources.entry(source).or_insert(patience);
            *known = patience.max(*known);
        }
        Wanted { sources, settled }
    }
}

/// How keys are kept.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two fetches of known keys: `PILOT_JWT_PUB_KEY_REFRESH_INTERVAL`.
    pub refresh: Duration,
    /// After the first failure; later ones double it, up to [`Pace::longest`].
    pub retry: Duration,
    /// Between two fetches that fail, at most.
    pub longest: Duration,
    /// Keys that could not be fetched again for so long are unknown.
    pub expiry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            refresh: Duration::from_secs(20 * 60),
            retry: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            expiry: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

/// Tells `changes` the keys that are `wanted`, now and whenever they change, until nobody listens.
pub async fn follow(
    mut wanted: watch::Receiver<Wanted>,
    fetcher: Fetcher,
    pace: Pace,
    changes: mpsc::Sender<Vec<Change>>,
) {
    let mut keyring = Keyring::new(pace);
    let mut fetches = FuturesUnordered::new();
    let mut complete = false;
    // Since when all that is wanted at the start is known.
    let mut settled = None;
    wanted.mark_changed();
    loop {
        let now = Instant::now();
        let mut told = Vec::new();
        for (source, patience) in keyring.due(now) {
            let fetcher = fetcher.clone();
            fetches.push(async move {
                let fetched = fetcher.keys(&source, patience).await;
                (source, fetched)
            });
        }
        let patience_ends = settled.filter(|_| !complete).map(|since| since + PATIENCE);
        let next = keyring.next().into_iter().chain(patience_ends).min();
        tokio::select! {
            () = changes.closed() => return,
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let wanted = wanted.borrow_and_update();
                told.extend(keyring.want(&wanted.sources, Instant::now()));
                keyring.settled |= wanted.settled;
                if wanted.settled {
                    settled.get_or_insert_with(Instant::now);
                }
            }
            Some((source, fetched)) = fetches.next() => {
                match &fetched {
                    Ok(_) => info!(issuer = source.issuer, uri = source.uri, "keys were fetched"),
                    Err(failure) => warn!(issuer = source.issuer, uri = source.uri, reason = %failure.detail,
                        "keys cannot be fetched; without any, no token of this issuer is good"),
                }
                let fetched = fetched.map_err(|failure| failure.told);
                told.extend(keyring.fetched(&source, fetched, Instant::now()));
            }
            () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
        }
        let mut told: Vec<Change> = told
            .into_iter()
            .map(|(source, keys)| Change::Keys(source, keys))
            .collect();
        let waited = patience_ends.is_some_and(|end| end <= Instant::now());
        if !complete && (waited || keyring.is_complete()) {
            complete = true;
            told.push(Change::Complete);
        }
        if !told.is_empty() && changes.send(told).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
