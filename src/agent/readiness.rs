//! Whether this proxy may get traffic: Envoy is live and its workers run, and it has acknowledged
//! clusters and listeners (accepted or rejected; either way the control plane has answered).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;

use crate::admin::{AdminError, Local};

/// `server.state` of an Envoy that serves.
const LIVE: u64 = 0;

/// Asks for the six statistics below and nothing else.
const STATS: &str = concat!(
    "/stats?usedonly&filter=^(server\\.state|listener_manager\\.workers_started",
    "|(cluster_manager\\.cds|listener_manager\\.lds)\\.update_(success|rejected))$"
);

/// Answers whether the proxy is ready.
#[derive(Debug)]
pub struct Readiness {
    admin: Local,
    timeout: Duration,
    been_ready: AtomicBool,
    terminating: AtomicBool,
}

/// Why the proxy is not ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// It has been told to end.
    #[error("the proxy is terminating")]
    Terminating,
    /// Envoy's admin port does not answer.
    #[error("envoy does not answer: {0}")]
    Admin(#[from] AdminError),
    /// A statistic is missing or no number.
    #[error("envoy does not say {0}")]
    Missing(&'static str),
    /// The control plane has not answered yet.
    #[error(
        "configuration has not come from the control plane (does it run?): clusters {cds} accepted or rejected, listeners {lds}"
    )]
    NoConfiguration {
        /// Updates of clusters.
        cds: u64,
        /// Updates of listeners.
        lds: u64,
    },
    /// Envoy starts or ends.
    #[error("envoy is not live: server.state is {state}, workers started {workers}")]
    NotLive {
        /// 0 live, 1 draining, 2 and 3 initializing.
        state: u64,
        /// 0 or 1.
        workers: u64,
    },
}

impl Readiness {
    /// Asks the Envoy with this admin port, waiting at most `timeout` for each answer.
    pub fn new(admin: Local, timeout: Duration) -> Readiness {
        Readiness {
            admin,
            timeout,
            been_ready: AtomicBool::new(false),
            terminating: AtomicBool::new(false),
        }
    }

    /// From now on the proxy is not ready.
    pub fn terminate(&self) {
        self.terminating.store(true, Ordering::Relaxed);
    }

    /// Checks now. An Envoy that has been ready stays so until it ends (upstream's rule): its
    /// statistics need not be searched again, and the probe itself comes through its listener.
    pub async fn check(&self) -> Result<(), NotReady> {
        if self.terminating.load(Ordering::Relaxed) {
            return Err(NotReady::Terminating);
        }
        if self.been_ready.load(Ordering::Relaxed) {
            return Ok(());
        }
        let stats = self.admin.text(Method::GET, STATS, self.timeout).await?;
        judge(&stats)?;
        tracing::info!("envoy is ready");
        self.been_ready.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Decides by the text of Envoy's statistics, one `name: value` a line.
fn judge(stats: &str) -> Result<(), NotReady> {
    let value = |name: &str| -> Option<u64> {
        stats
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| *found == name)
            .and_then(|(_, value)| value.trim().parse().ok())
    };
    // Counters that were never counted are left out of the answer.
    let updates = |discovery: &str| {
        ["update_success", "update_rejected"]
            .into_iter()
            .filter_map(|counter| value(&format!("{discovery}.{counter}")))
            .sum()
    };
    let (cds, lds) = (
        updates("cluster_manager.cds"),
        updates("listener_manager.lds"),
    );
    if cds == 0 || lds == 0 {
        return Err(NotReady::NoConfiguration { cds, lds });
    }
    let state = value("server.state").ok_or(NotReady::Missing("server.state"))?;
    let workers = value("listener_manager.workers_started")
        .ok_or(NotReady::Missing("listener_manager.workers_started"))?;
    if state != LIVE || workers != 1 {
        return Err(NotReady::NotLive { state, workers });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::judge;

    fn judged(cds: &str, lds: &str, state: u64, workers: u64) -> Result<(), String> {
        judge(&format!(
            "cluster_manager.cds.{cds}\nlistener_manager.lds.{lds}\nlistener_manager.workers_started: {workers}\nserver.state: {state}\n"
        ))
        .map_err(|reason| reason.to_string())
    }

    #[test]
    fn live_with_clusters_and_listeners_is_ready() {
        assert_eq!(
            judged("update_success: 1", "update_success: 3", 0, 1),
            Ok(())
        );
    }

    #[test]
    fn rejected_configuration_is_configuration() {
        assert_eq!(
            judged("update_rejected: 1", "update_rejected: 1", 0, 1),
            Ok(())
        );
    }

    #[test]
    fn both_kinds_of_configuration_are_needed() {
        let missing = "configuration has not come from the control plane (does it run?): clusters";
        for (cds, lds) in [
            ("update_success: 0", "update_success: 1"),
            ("update_success: 1", "update_success: 0"),
            ("update_attempt: 1", "update_success: 1"),
        ] {
            let reason = judged(cds, lds, 0, 1).expect_err("not ready");
            assert!(reason.starts_with(missing), "{reason}");
        }
    }

    #[test]
    fn an_envoy_that_starts_or_drains_is_not_ready() {
        for (state, workers) in [(1, 1), (2, 0), (3, 0), (0, 0)] {
            let reason = judged("update_success: 1", "update_success: 1", state, workers);
            assert!(
                reason
                    .expect_err("not ready")
                    .starts_with("envoy is not live")
            );
        }
    }

    #[test]
    fn an_empty_answer_is_not_ready() {
        assert!(judge("").is_err());
    }
}
