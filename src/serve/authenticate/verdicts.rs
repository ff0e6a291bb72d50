//! Verdicts about tokens, remembered for a short time: who asks about a token that is being asked about waits
//! for that answer. Holds no token, only hashes; asks nobody.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::{Identity, Refusal};

/// How long a yes is remembered, and so how long a revoked token may still be accepted (as kubelets do by
/// default: `authentication.webhook.cacheTTL`). A no is not remembered.
pub const REMEMBERED: Duration = Duration::from_secs(120);
/// Tokens that are remembered at most; beyond it the oldest is forgotten, and asked about again. Tokens that
/// the API server is being asked about count too, so strangers can displace others but not take memory.
const MOST: usize = 20_000;

/// SHA-256 of a token.
pub(super) type Key = [u8; 32];
/// Empty while the API server is asked. Whoever waits longest goes on when the one who asks gives up.
pub(super) type Verdict = Arc<OnceCell<Result<Identity, Refusal>>>;

/// The hash under which a token is remembered.
pub(super) fn key(token: &str) -> Key {
    pki::sha256(token.as_bytes())
}

/// See the module.
#[derive(Debug)]
pub(super) struct Verdicts {
    known: Mutex<Known>,
    most: usize,
}

#[derive(Debug, Default)]
struct Known {
    verdicts: HashMap<Key, (Instant, Verdict)>,
    /// Keys in the order of their ends; one that was forgotten early may stay, with an end that no longer holds.
    ends: VecDeque<(Instant, Key)>,
}

impl Default for Verdicts {
    fn default() -> Self {
        Verdicts {
            known: Mutex::default(),
            most: MOST,
        }
    }
}

impl Verdicts {
    /// The verdict about `key`, to be made by whoever finds it empty.
    pub(super) fn of(&self, key: Key, now: Instant) -> Verdict {
        let mut known = self.known.lock().expect("no panic while it is held");
        known.drop_ended(now);
        if let Some((_, verdict)) = known.verdicts.get(&key) {
            return verdict.clone();
        }
        while known.ends.len() >= self.most {
            known.drop_first();
        }
        let (end, verdict) = (now + REMEMBERED, Verdict::default());
        known.verdicts.insert(key, (end, verdict.clone()));
        known.ends.push_back((end, key));
        verdict
    }

    /// Forgets `verdict`, unless there is another one about `key` already.
    pub(super) fn forget(&self, key: &Key, verdict: &Verdict) {
        let mut known = self.known.lock().expect("no panic while it is held");
        if let Some((_, current)) = known.verdicts.get(key)
            && Arc::ptr_eq(current, verdict)
        {
            known.verdicts.remove(key);
        }
    }
}

impl Known {
    fn drop_ended(&mut self, now: Instant) {
        while self.ends.front().is_some_and(|(end, _)| *end <= now) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        let Some((end, key)) = self.ends.pop_front() else {
            return;
        };
        // One that was forgotten and asked about again has a later end.
        if self
            .verdicts
            .get(&key)
            .is_some_and(|(until, _)| *until == end)
        {
            self.verdicts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
