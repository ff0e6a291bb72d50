//! Waiting for a condition with a deadline; on expiry the last answer and the state of the mesh are printed.

use std::future::Future;
use std::time::{Duration, Instant};

use kube::Client;

use crate::diagnose;

/// A probe that takes longer hangs: more than any command of [`crate::exec`] may take.
const PROBE: Duration = Duration::from_secs(300);

/// Asks `probe` until it answers `Ok`, at most `seconds`; returns the answer and the time it took.
///
/// # Panics
/// When the deadline passes, with the last `Err` and what a person would look at next.
pub async fn eventually<T, F>(
    client: &Client,
    what: &str,
    seconds: u64,
    mut probe: impl FnMut() -> F,
) -> (T, Duration)
where
    F: Future<Output = Result<T, String>>,
{
    let begin = Instant::now();
    let mut pause = Duration::from_millis(20);
    loop {
        let last = match tokio::time::timeout(PROBE, probe()).await {
            Ok(Ok(answer)) => return (answer, begin.elapsed()),
            Ok(Err(reason)) => reason,
            Err(_) => format!("none within {PROBE:?}"),
        };
        if begin.elapsed() > Duration::from_secs(seconds) {
            diagnose::print(client).await;
            panic!("{what}: not within {seconds} s; last answer: {last}");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}
