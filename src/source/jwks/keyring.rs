//! Which keys are known, and when each is to be fetched again: decisions only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::security::jwt::{Fetched, KeySource};
use tokio::time::Instant;

use super::Pace;

/// What is told of a source: its keys, why there are none, or that nobody needs them any more.
pub(super) type Told = (KeySource, Option<Fetched>);

/// The keys that are wanted.
pub(super) struct Keyring {
    pace: Pace,
    entries: BTreeMap<KeySource, Entry>,
    /// Whether what is wanted is all that was wanted at the start.
    pub(super) settled: bool,
}

struct Entry {
    patience: Duration,
    /// What was told.
    known: Option<Fetched>,
    /// When keys were fetched.
    since: Option<Instant>,
    /// When to fetch next; none while that goes on.
    due: Option<Instant>,
    failures: u32,
}

impl Keyring {
    pub(super) fn new(pace: Pace) -> Self {
        Keyring {
            pace,
            entries: BTreeMap::new(),
            settled: false,
        }
    }

    /// Takes in what is wanted now.
    pub(super) fn want(
        &mut self,
        wanted: &BTreeMap<KeySource, Duration>,
        now: Instant,
    ) -> Vec<Told> {
        let mut told = Vec::new();
        self.entries.retain(|source, entry| {
            let stays = wanted.contains_key(source);
            if !stays && entry.known.is_some() {
                told.push((source.clone(), None));
            }
            stays
        });
        for (source, patience) in wanted {
            let entry = self.entries.entry(source.clone()).or_insert(Entry {
                patience: *patience,
                known: None,
                since: None,
                due: Some(now),
                failures: 0,
            });
            entry.patience = *patience;
        }
        told
    }

    /// What is to be fetched now, and how long to wait for it.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(KeySource, Duration)> {
        let due = self.entries.iter_mut();
        let due = due.filter(|(_, entry)| entry.due.is_some_and(|due| due <= now));
        due.map(|(source, entry)| {
            entry.due = None;
            (source.clone(), entry.patience)
        })
        .collect()
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.values().filter_map(|entry| entry.due).min()
    }

    /// Takes in what a fetch gave: keys, or what users hear of its failure.
    pub(super) fn fetched(
        &mut self,
        source: &KeySource,
        keys: Result<Arc<str>, &'static str>,
        now: Instant,
    ) -> Option<Told> {
        let pace = self.pace;
        // Nobody may want it any more.
        let entry = self.entries.get_mut(source)?;
        let before = entry.known.clone();
        match keys {
            Ok(keys) => {
                entry.known = Some(Fetched::Keys(keys));
                entry.since = Some(now);
                entry.failures = 0;
                entry.due = Some(now + pace.refresh);
            }
            Err(reason) => {
                let pause = pace.retry.saturating_mul(1 << entry.failures.min(16));
                entry.failures += 1;
                entry.due = Some(now + pause.min(pace.longest));
                // Keys stay good for long.
                if entry.since.is_none_or(|since| now - since >= pace.expiry) {
                    entry.known = Some(Fetched::Failed(reason.into()));
                }
            }
        }
        (before != entry.known).then(|| (source.clone(), entry.known.clone()))
    }

    /// Whether everything that was wanted at the start was asked for once.
    pub(super) fn is_complete(&self) -> bool {
        let mut entries = self.entries.values();
        self.settled && entries.all(|entry| entry.since.is_some() || entry.failures > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fetched, Instant, KeySource, Keyring, Pace};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    fn source() -> KeySource {
        KeySource {
            issuer: "me".to_owned(),
            uri: "http://keys".to_owned(),
        }
    }

    fn lost() -> Result<Arc<str>, &'static str> {
        Err("lost")
    }

    fn wanting() -> (Keyring, Instant) {
        let now = Instant::now();
        let mut keyring = Keyring::new(Pace::default());
        let wanted = BTreeMap::from([(source(), Duration::from_secs(5))]);
        assert_eq!(keyring.want(&wanted, now), []);
        keyring.settled = true;
        (keyring, now)
    }

    #[test]
    fn a_wanted_key_is_fetched_at_once_and_only_once_at_a_time() {
        let (mut keyring, now) = wanting();
        assert_eq!(keyring.due(now).len(), 1);
        assert_eq!(keyring.due(now).len(), 0);
        assert!(!keyring.is_complete());
        let told = keyring.fetched(&source(), Ok("a".into()), now);
        assert_eq!(told, Some((source(), Some(Fetched::Keys("a".into())))));
        assert!(keyring.is_complete());
        assert_eq!(keyring.next(), Some(now + Pace::default().refresh));
    }

    #[test]
    fn keys_stay_while_they_cannot_be_fetched_again_but_not_for_ever() {
        let (mut keyring, now) = wanting();
        keyring.fetched(&source(), Ok("a".into()), now);
        let later = now + Duration::from_secs(24 * 60 * 60);
        assert_eq!(keyring.fetched(&source(), lost(), later), None);
        let long = now + Pace::default().expiry;
        let told = keyring.fetched(&source(), lost(), long);
        assert_eq!(told, Some((source(), Some(Fetched::Failed("lost".into())))));
    }

    #[test]
    fn failures_are_tried_again_ever_more_rarely() {
        let (mut keyring, now) = wanting();
        let mut pauses = Vec::new();
        for attempt in 0..8 {
            let told = keyring.fetched(&source(), lost(), now);
            let failed = (source(), Some(Fetched::Failed("lost".into())));
            // The same reason is told once.
            assert_eq!(told, (attempt == 0).then_some(failed));
            pauses.push((keyring.next().expect("a next try") - now).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(keyring.is_complete());
    }

    #[test]
    fn keys_that_nobody_wants_are_forgotten() {
        let (mut keyring, now) = wanting();
        keyring.due(now);
        keyring.fetched(&source(), Ok("a".into()), now);
        assert_eq!(keyring.want(&BTreeMap::new(), now), [(source(), None)]);
        assert_eq!(keyring.fetched(&source(), Ok("b".into()), now), None);
        assert_eq!(keyring.next(), None);
    }
}
