//! When the program is asked to end. As process 1 of a container it gets no default reaction to a signal.

use tokio::signal::unix::{SignalKind, signal as listen};

/// Resolves at the first SIGTERM or SIGINT. Listening begins with the call, not with the first poll.
pub fn signal() -> Result<impl Future<Output = ()>, String> {
    let failed = |error| format!("signals cannot be awaited: {error}");
    let mut terminate = listen(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = listen(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
