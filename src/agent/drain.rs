//! How a proxy ends: its listeners are drained, connections get time to end, and only then Envoy
//! is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bootstrap::ProxyType;
use http::Method;
use tokio::sync::Notify;

use crate::admin::{AdminError, Local};

const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often connections are counted while the last one is waited for (upstream's figure).
const COUNT_PERIOD: Duration = Duration::from_secs(1);

/// Whether Envoy may exit once its listeners are drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipExit {
    /// It stays, whatever comes.
    Yes,
    /// The agent ends it later.
    No,
}

/// How long a terminating proxy is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// That long.
    For(Duration),
    /// That long, and then until no connection is left (EXIT_ON_ZERO_ACTIVE_CONNECTIONS).
    UntilIdle {
        /// MINIMUM_DRAIN_DURATION.
        at_least: Duration,
    },
}

/// Drains and ends one Envoy.
#[derive(Debug)]
pub struct Drain {
    /// Envoy's admin port.
    pub admin: Local,
    /// Gateways drain all listeners, sidecars those for inbound traffic: the application may
    /// still need the others.
    pub proxy_type: ProxyType,
    /// How long the proxy is kept.
    pub keep: Keep,
    /// Listener addresses that are Envoy's own and do not count as traffic.
    pub own_ports: [u16; 2],
    drained: AtomicBool,
    quit: Notify,
}

impl Drain {
    /// Nothing is drained yet.
    pub fn new(admin: Local, proxy_type: ProxyType, keep: Keep, own_ports: [u16; 2]) -> Arc<Drain> {
        Arc::new(Drain {
            admin,
            proxy_type,
            keep,
            own_ports,
            drained: AtomicBool::new(false),
            quit: Notify::new(),
        })
    }

    /// Asks for the end, as SIGTERM does.
    pub fn quit(&self) {
        self.quit.notify_one();
    }

    /// Returns when the end has been asked for.
    pub async fn quit_asked(&self) {
        self.quit.notified().await;
    }

    /// Lets Envoy drain its listeners: no new connections, and answers ask clients to leave.
    pub async fn listeners(&self, skip_exit: SkipExit) -> Result<(), AdminError> {
        let path = drain_path(self.proxy_type, skip_exit);
        self.admin.text(Method::POST, path, ADMIN_TIMEOUT).await?;
        tracing::info!("envoy drains its listeners");
        self.drained.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Drains, and returns when Envoy may be stopped: at once if `/drain` had been asked before
    /// (a preStop hook has waited already).
    pub async fn finish(&self) {
        if self.drained.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.listeners(SkipExit::No).await {
            tracing::warn!("envoy cannot be drained: {error}");
        }
        match self.keep {
            Keep::For(duration) => {
                tracing::info!("envoy is kept for {duration:?}");
                tokio::time::sleep(duration).await;
            }
            Keep::UntilIdle { at_least } => {
                tracing::info!("envoy is kept for {at_least:?} and until its last connection ends");
                tokio::time::sleep(at_least).await;
                self.idle().await;
            }
        }
    }

    async fn idle(&self) {
        const PATH: &str = "/stats?usedonly&filter=downstream_cx_active$";
        loop {
            match self.admin.text(Method::GET, PATH, ADMIN_TIMEOUT).await {
                Ok(stats) => match active_connections(&stats, self.own_ports) {
                    0 => return,
                    active => tracing::info!("{active} connections are left"),
                },
                // An Envoy that cannot answer has nothing left to wait for.
                Err(error) => {
                    tracing::warn!("connections cannot be counted: {error}");
                    return;
                }
            }
            tokio::time::sleep(COUNT_PERIOD).await;
        }
    }
}

fn drain_path(proxy_type: ProxyType, skip_exit: SkipExit) -> &'static str {
    match (proxy_type, skip_exit) {
        (ProxyType::Sidecar, SkipExit::No) => "/drain_listeners?inboundonly&graceful",
        (ProxyType::Sidecar, SkipExit::Yes) => "/drain_listeners?inboundonly&graceful&skip_exit",
        (ProxyType::Router, SkipExit::No) => "/drain_listeners?graceful",
        (ProxyType::Router, SkipExit::Yes) => "/drain_listeners?graceful&skip_exit",
    }
}

/// Adds up `listener.<address>.downstream_cx_active`, without Envoy's own listeners (admin,
/// metrics, readiness) and without the counts per worker, which are the same once more.
fn active_connections(stats: &str, own_ports: [u16; 2]) -> u64 {
    let own: Vec<String> = own_ports.iter().map(|port| format!("_{port}.")).collect();
    stats
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| name.starts_with("listener."))
        .filter(|(name, _)| !name.starts_with("listener.admin.") && !name.contains(".worker_"))
        .filter(|(name, _)| !own.iter().any(|port| name.contains(port)))
        .filter_map(|(_, value)| value.trim().parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::active_connections;

    #[test]
    fn only_connections_of_traffic_count() {
        let stats = "\
http.admin.downstream_cx_active: 1
listener.0.0.0.0_15021.downstream_cx_active: 2
listener.0.0.0.0_15090.downstream_cx_active: 3
listener.0.0.0.0_8080.downstream_cx_active: 4
listener.0.0.0.0_8080.worker_0.downstream_cx_active: 4
listener.[__]_8443.downstream_cx_active: 5
listener.admin.downstream_cx_active: 1
";
        assert_eq!(active_connections(stats, [15021, 15090]), 9);
        assert_eq!(active_connections("", [15021, 15090]), 0);
    }
}
