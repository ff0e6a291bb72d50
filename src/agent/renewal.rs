//! When a certificate is asked for: at half of its life, with jitter, again and again when that fails, and at once
//! when the clock was set back or the roots have changed. Pure: the time is an argument, and so is chance.

use std::time::{Duration, SystemTime};

/// First pause after a failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause while there is no valid certificate: a pod waits for its first one.
const LONGEST_WITHOUT: Duration = Duration::from_secs(10);
/// Longest pause while there is one.
const LONGEST_WITH: Duration = Duration::from_secs(60);
/// With a certificate that lives hardly at all, or not by this clock, the CA is not asked more often.
const SHORTEST: Duration = Duration::from_secs(1);
/// A clock that goes back by more was set.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);

/// Which part of a lifetime is left when a certificate is renewed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Between 0 and 1 (upstream: SECRET_GRACE_PERIOD_RATIO, 0.5).
    pub ratio: f64,
    /// How much the ratio may differ either way (SECRET_GRACE_PERIOD_RATIO_JITTER, 0.01), so that proxies which
    /// started together do not renew together.
    pub jitter: f64,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask the CA.
    Request,
    /// Nothing for that long.
    Wait(Duration),
}

/// When the next certificate is due.
#[derive(Clone, Debug)]
pub struct Renewal {
    policy: Policy,
    /// Of the certificate in use.
    until: Option<SystemTime>,
    /// `None`: at once.
    due: Option<SystemTime>,
    /// When the last outcome was seen.
    seen: SystemTime,
    failures: u32,
}

impl Renewal {
    /// Without a certificate one is due at once.
    pub fn new(policy: Policy, now: SystemTime) -> Renewal {
        Renewal {
            policy,
            until: None,
            due: None,
            seen: now,
            failures: 0,
        }
    }

    /// What to do at `now`.
    pub fn next(&self, now: SystemTime) -> Step {
        let set_back = self
            .seen
            .duration_since(now)
            .is_ok_and(|back| back > CLOCK_TOLERANCE);
        match self.due.map(|due| due.duration_since(now)) {
            Some(Ok(left)) if !left.is_zero() && !set_back => Step::Wait(left),
            _ => Step::Request,
        }
    }

    /// A certificate came that is valid until `until`. `chance` lies between 0 and 1.
    pub fn issued(&mut self, now: SystemTime, until: SystemTime, chance: f64) {
        let lifetime = until.duration_since(now).unwrap_or_default();
        let jitter = self.policy.jitter * (2.0 * chance - 1.0);
        let used = (1.0 - self.policy.ratio - jitter).clamp(0.0, 1.0);
        self.until = Some(until);
        self.due = now.checked_add(lifetime.mul_f64(used).max(SHORTEST));
        self.seen = now;
        self.failures = 0;
    }

    /// None came. The one in use stays in use. `chance` lies between 0 and 1.
    pub fn failed(&mut self, now: SystemTime, chance: f64) {
        let left = self.until.and_then(|until| until.duration_since(now).ok());
        let longest = match left {
            Some(left) => (left / 20).clamp(SHORTEST, LONGEST_WITH),
            None => LONGEST_WITHOUT,
        };
        let pause = FIRST_PAUSE
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(longest);
        self.due = now.checked_add(pause.mul_f64(0.8 + 0.4 * chance));
        self.seen = now;
        self.failures = self.failures.saturating_add(1);
    }

    /// The certificate in use is no longer good enough: another is due at once.
    pub fn hurry(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests;
