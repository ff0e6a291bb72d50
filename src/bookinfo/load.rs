//! Role `load`: many requests, and one JSON object that says what became of them. It measures and does not judge:
//! a failed request is a result, never a reason to end or to ask again.

mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::call::{self, Target};
use crate::{duration, header};
use tally::Tally;

/// Arguments of `load`.
#[derive(Args)]
pub struct Options {
    /// What to ask for
    #[arg(long, env = "URL")]
    url: String,
    /// How many requests to send [default: 1, or as many as the duration allows]
    #[arg(long)]
    requests: Option<u64>,
    /// How long to go on sending; requests under way are waited for
    #[arg(long, value_parser = duration::parse)]
    duration: Option<Duration>,
    /// How many requests are under way at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    concurrency: u64,
    /// Header to send, as name:value; may be given more than once
    #[arg(long = "header", value_parser = header::parse)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Requests per second, evenly spaced [default: as fast as answers come]
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// A connection of its own for each request
    #[arg(long)]
    new_connections: bool,
    /// How long one answer may take
    #[arg(long, default_value = "15s", value_parser = duration::parse)]
    timeout: Duration,
}

/// What all workers share.
struct Plan {
    target: Target,
    headers: HeaderMap,
    began: Instant,
    last: u64,
    until: Option<Instant>,
    interval: Option<f64>,
    new_connections: bool,
    timeout: Duration,
    next: AtomicU64,
}

impl Plan {
    /// The moment to send the next request at, or that there is none to send.
    fn next_start(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.last {
            return None;
        }
        let start = match self.interval {
            None => Instant::now(),
            Some(interval) => self.began + Duration::from_secs_f64(interval * number as f64),
        };
        self.until
            .is_none_or(|until| start < until)
            .then_some(start)
    }
}

/// # Errors
/// When the URL is none.
pub async fn run(options: Options) -> Result<(), String> {
    let target = Target::parse(&options.url)?;
    let began = Instant::now();
    let plan = Arc::new(Plan {
        target,
        headers: header::all(options.headers),
        began,
        last: options.requests.unwrap_or(if options.duration.is_some() {
            u64::MAX
        } else {
            1
        }),
        until: options.duration.map(|duration| began + duration),
        interval: options.rate.map(|rate| 1.0 / rate),
        new_connections: options.new_connections,
        timeout: options.timeout,
        next: AtomicU64::new(0),
    });
    let mut workers = JoinSet::new();
    for _ in 0..options.concurrency.min(plan.last) {
        workers.spawn(work(plan.clone()));
    }
    let mut tally = Tally::default();
    while let Some(part) = workers.join_next().await {
        tally.add(part.map_err(|error| format!("a worker ended early: {error}"))?);
    }
    println!("{}", tally.report(began.elapsed()));
    Ok(())
}

async fn work(plan: Arc<Plan>) -> Tally {
    let mut tally = Tally::default();
    let mut slot = None;
    while let Some(start) = plan.next_start() {
        tokio::time::sleep_until(start).await;
        if plan.new_connections {
            slot = None;
        }
        let sent = Instant::now();
        let answer = call::within(
            plan.timeout,
            call::get(&mut slot, &plan.target, &plan.headers),
        )
        .await;
        tally.record(&answer, sent.elapsed());
    }
    tally
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate >= 0.001)
        .ok_or_else(|| {
            format!("{text:?} is not a rate, expected requests per second, at least 0.001")
        })
}

#[cfg(test)]
mod tests;
