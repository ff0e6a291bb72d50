//! What became of requests: counted while they are sent, added up over workers, told as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::call::{Answer, CallError};
use crate::identity::SERVED_BY_VERSION;

/// Counts of one worker, or of all.
#[derive(Default)]
pub struct Tally {
    statuses: BTreeMap<u16, u64>,
    errors: BTreeMap<String, u64>,
    versions: BTreeMap<String, u64>,
    /// Microseconds of each request that was answered.
    times: Vec<u32>,
}

impl Tally {
    /// Counts one request that ended after `took`.
    pub fn record(&mut self, answer: &Result<Answer, CallError>, took: Duration) {
        match answer {
            Err(error) => *self.errors.entry(error.to_string()).or_default() += 1,
            Ok(answer) => {
                *self.statuses.entry(answer.status.as_u16()).or_default() += 1;
                self.times
                    .push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
                if let Some(version) = version(answer) {
                    *self.versions.entry(version).or_default() += 1;
                }
            }
        }
    }

    /// Counts what another worker counted.
    pub fn add(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
        for (version, count) in other.versions {
            *self.versions.entry(version).or_default() += count;
        }
        self.times.extend(other.times);
    }

    /// Times are those of answered requests, `null` when there was none.
    pub fn report(mut self, took: Duration) -> Value {
        self.times.sort_unstable();
        let failed: u64 = self.errors.values().sum();
        let statuses: BTreeMap<String, u64> = self
            .statuses
            .iter()
            .map(|(status, count)| (status.to_string(), *count))
            .collect();
        json!({
            "sent": self.times.len() as u64 + failed,
            "statuses": statuses,
            "errors": self.errors,
            "versions": self.versions,
            "p50_ms": percentile(&self.times, 0.50),
            "p99_ms": percentile(&self.times, 0.99),
            "max_ms": percentile(&self.times, 1.0),
            "seconds": (took.as_secs_f64() * 1000.0).round() / 1000.0,
        })
    }
}

/// Who answered, by the header or else by the JSON.
fn version(answer: &Answer) -> Option<String> {
    if let Some(version) = answer.headers.get(SERVED_BY_VERSION) {
        return version.to_str().ok().map(str::to_owned);
    }
    let value: Value = serde_json::from_slice(&answer.body).ok()?;
    value["version"].as_str().map(str::to_owned)
}

/// In milliseconds, of sorted microseconds: the smallest that `share` of all do not exceed.
fn percentile(times: &[u32], share: f64) -> Option<f64> {
    let rank = (times.len() as f64 * share).ceil() as usize;
    let time = times.get(rank.max(1) - 1)?;
    Some(f64::from(*time) / 1000.0)
}

#[cfg(test)]
mod tests;
