//! What runs in a role, by name, and how it ends.

use std::future::Future;
use std::time::Duration;

use serve::Shutdown;
use serve::health::Check;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{error, warn};

/// Everything that runs, by name. No service ends before shutdown unless it failed, except for those whose
/// name says `readiness` or `publisher`: they watch a value and end with its sender.
#[derive(Default)]
pub struct Services {
    running: JoinSet<&'static str>,
}

impl Services {
    /// Runs `service`.
    pub fn spawn(
        &mut self,
        name: &'static str,
        service: impl Future<Output = ()> + Send + 'static,
    ) {
        self.running.spawn(async move {
            service.await;
            name
        });
    }

    /// Watches over a task that runs already.
    pub fn join(&mut self, name: &'static str, task: JoinHandle<()>) {
        self.spawn(name, async move {
            if let Err(failed) = task.await {
                error!(%failed, "{name} failed");
            }
        });
    }

    /// Keeps the latest part of a value; it changes only when that part does.
    pub fn publish<T, P>(
        &mut self,
        name: &'static str,
        mut value: watch::Receiver<T>,
        part: impl Fn(&T) -> P + Send + 'static,
        shutdown: &Shutdown,
    ) -> watch::Receiver<P>
    where
        T: Send + Sync + 'static,
        P: PartialEq + Send + Sync + 'static,
    {
        let (sender, parts) = watch::channel(part(&value.borrow_and_update()));
        let shutdown = shutdown.clone();
        self.spawn(name, async move {
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    changed = value.changed() => if changed.is_err() { return },
                }
                let now = part(&value.borrow_and_update());
                sender.send_if_modified(|known| {
                    let differs = *known != now;
                    *known = now;
                    differs
                });
            }
        });
        parts
    }

    /// Passes `check` once there is a value.
    pub fn pass_when_some<T: Send + Sync + 'static>(
        &mut self,
        name: &'static str,
        mut value: watch::Receiver<Option<T>>,
        check: Check,
    ) {
        self.spawn(name, async move {
            if value.wait_for(Option::is_some).await.is_ok() {
                check.pass();
            }
            while value.changed().await.is_ok() {}
        });
    }

    /// The name of the first one that ends.
    pub async fn first_to_end(&mut self) -> String {
        match self.running.join_next().await {
            Some(Ok(name)) => name.to_owned(),
            Some(Err(failed)) => failed.to_string(),
            None => "everything".to_owned(),
        }
    }

    /// Waits for all, at most for `limit`.
    pub async fn end(mut self, limit: Duration) {
        let all = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all).await.is_err() {
            warn!(?limit, "some services did not end in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serve::Shutdown;
    use tokio::sync::watch;

    use super::Services;

    #[tokio::test]
    async fn a_part_changes_only_when_it_differs() {
        let (sender, value) = watch::channel((1, 1));
        let shutdown = Shutdown::new();
        let mut services = Services::default();
        let mut first = services.publish("publisher", value, |value| value.0, &shutdown);
        assert_eq!(*first.borrow_and_update(), 1);
        sender.send_replace((1, 2));
        sender.send_replace((2, 2));
        first.changed().await.expect("it changed");
        assert_eq!(*first.borrow_and_update(), 2);
        shutdown.cancel();
        services.end(Duration::from_secs(5)).await;
        assert!(!first.has_changed().unwrap_or(false));
    }

    #[tokio::test]
    async fn the_first_to_end_is_named_even_when_it_panics() {
        let mut services = Services::default();
        services.spawn("endless", std::future::pending());
        services.spawn("short", async {});
        assert_eq!(services.first_to_end().await, "short");
        services.join("failing", tokio::spawn(async { panic!("on purpose") }));
        assert_eq!(services.first_to_end().await, "failing");
    }
}
