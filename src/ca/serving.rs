//! The control plane's own serving certificate: signed by the CA in force, renewed at half of its life and
//! whenever the CA changes.

use std::sync::Arc;
use std::time::Duration;

use pki::{Issued, OffsetDateTime};
use rustls::sign::CertifiedKey;
use serve::Shutdown;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::Root;

/// Lifetime of a serving certificate. It lives in memory only, so a short one costs nothing.
const LIFETIME: time::Duration = time::Duration::days(30);
/// How often the wall clock is compared: after a suspended host resumes, timers alone would be late.
const LOOK: Duration = Duration::from_secs(60);

/// Issues for `hosts` until `shutdown`. `None` until there is a CA.
pub fn serve(
    root: watch::Receiver<Option<Arc<Root>>>,
    hosts: Vec<String>,
    shutdown: Shutdown,
) -> (watch::Receiver<Option<Arc<CertifiedKey>>>, JoinHandle<()>) {
    let (sender, receiver) = watch::channel(None);
    let task = tokio::spawn(renew(root, hosts, sender, shutdown));
    (receiver, task)
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Issue(#[from] pki::Error),
    #[error("{0}")]
    Load(#[from] serve::tls::Error),
}

async fn renew(
    mut root: watch::Receiver<Option<Arc<Root>>>,
    hosts: Vec<String>,
    sender: watch::Sender<Option<Arc<CertifiedKey>>>,
    shutdown: Shutdown,
) {
    let mut issued: Option<(Arc<Root>, OffsetDateTime, OffsetDateTime)> = None;
    loop {
        let now = OffsetDateTime::now_utc();
        let current = root.borrow_and_update().clone();
        if let Some(current) = current {
            let fresh = issued.as_ref().is_some_and(|(root, from, until)| {
                Arc::ptr_eq(root, &current) && !due(*from, *until, now)
            });
            if !fresh {
                match issue(&current, &hosts, now) {
                    Ok((key, from, until)) => {
                        info!(?hosts, %until, "serving certificate issued");
                        sender.send_replace(Some(key));
                        issued = Some((current, from, until));
                    }
                    Err(error) => {
                        warn!(%error, "no serving certificate could be issued, trying again")
                    }
                }
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            Ok(()) = root.changed() => {}
            () = sleep(LOOK) => {}
        }
    }
}

/// Half of its life is over, or `now` lies before its start: the clock was set back.
fn due(from: OffsetDateTime, until: OffsetDateTime, now: OffsetDateTime) -> bool {
    now < from || now >= from + (until - from) / 2
}

fn issue(
    root: &Root,
    hosts: &[String],
    now: OffsetDateTime,
) -> Result<(Arc<CertifiedKey>, OffsetDateTime, OffsetDateTime), Error> {
    let Issued { certificate, key } = root.signer().issue_serving(hosts, now, LIFETIME)?;
    let chain = std::iter::once(&certificate)
        .chain(root.intermediates())
        .map(|certificate| certificate.der().clone())
        .collect();
    let certified = serve::tls::certified_key(chain, &key.to_der())?;
    Ok((certified, certificate.not_before, certificate.not_after))
}

#[cfg(test)]
mod tests;
