//! One token that tells every task to end. Asked for by a signal or by the program itself; never taken back.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Cloneable; all clones are cancelled together.
#[derive(Clone, Debug)]
pub struct Shutdown {
    cancelled: Arc<watch::Sender<bool>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown::new()
    }
}

impl Shutdown {
    /// A token that only [`cancel`](Self::cancel) cancels.
    pub fn new() -> Self {
        Shutdown {
            cancelled: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Cancels this token and all its clones.
    pub fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// Returns once it is cancelled; at once if it was.
    pub async fn cancelled(&self) {
        let mut cancelled = self.cancelled.subscribe();
        // The sender lives in `self`, so the channel cannot close first.
        let _ = cancelled.wait_for(|cancelled| *cancelled).await;
    }
}

/// Returns at the first SIGTERM or SIGINT, with its name. Later signals have their default effect again only
/// if the process did not end by itself: the handler stays installed.
///
/// # Errors
/// When the handler cannot be installed.
pub async fn signalled() -> io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

#[cfg(test)]
mod tests {
    use super::Shutdown;

    #[tokio::test]
    async fn clones_are_cancelled_together_and_stay_so() {
        let shutdown = Shutdown::new();
        let clone = shutdown.clone();
        let waiting = tokio::spawn(async move { clone.cancelled().await });
        assert!(!shutdown.is_cancelled());
        shutdown.cancel();
        waiting.await.expect("the waiting task ends");
        shutdown.clone().cancelled().await;
        assert!(shutdown.is_cancelled());
    }
}
