//! Writes condition `Programmed` where it is due, one object at a time and a few per second, while this process
//! leads. Follows from what objects carry and from what is known of them now: nothing is remembered over a restart,
//! so a condition that another process wrote is corrected and cleared as well.

use std::collections::BTreeSet;
use std::time::Duration;

use base::ObjectRef;
use jiff::Timestamp;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::Value;
use serve::Shutdown;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use crate::patch::patch;
use crate::queue::{Ended, Next, Queue};
use crate::verdict::{Due, verdicts};
use crate::{Access, CALL, FIELD_MANAGER, Facts, kinds};

/// Between two writes.
const PACE: Duration = Duration::from_millis(100);
/// For more to become known after something changed: a bad object and its repair often come together.
const SETTLES: Duration = Duration::from_millis(300);

/// Runs until `shutdown`.
pub async fn keep(access: Access, facts: Facts, shutdown: Shutdown) {
    let work = work(access, facts);
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = work => {}
    }
}

async fn work(mut access: Access, mut facts: Facts) {
    let mut queue = Queue::default();
    let mut forbidden = BTreeSet::new();
    loop {
        let leads = *access.leadership.borrow_and_update();
        let verdicts = verdicts(
            &facts.findings.borrow_and_update(),
            &facts.problems.borrow_and_update(),
            &facts.refused.borrow_and_update(),
        );
        access.metrics.rejected(verdicts.bad);
        let due = verdicts.due;
        queue.tidy(&due, Instant::now());
        let wait = match queue.next(&due, Instant::now()) {
            Next::Write(object, due) if leads => {
                let ended = write(&access, object, due, &mut forbidden).await;
                queue.ended(object.clone(), due.clone(), ended, Instant::now());
                sleep(PACE).await;
                continue;
            }
            Next::Wait(until) if leads => Some(until),
            _ => None,
        };
        let wait = async {
            match wait {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok(()) = access.leadership.changed() => {}
            changed = changed(&mut facts) => match changed {
                true => sleep(SETTLES).await,
                // Those who know have ended, and so will this.
                false => std::future::pending().await,
            },
            () = wait => {}
        }
    }
}

async fn changed(facts: &mut Facts) -> bool {
    tokio::select! {
        changed = facts.findings.changed() => changed.is_ok(),
        changed = facts.problems.changed() => changed.is_ok(),
        changed = facts.refused.changed() => changed.is_ok(),
    }
}

async fn write(
    access: &Access,
    object: &ObjectRef,
    due: &Due,
    forbidden: &mut BTreeSet<String>,
) -> Ended {
    let written = timeout(CALL, try_write(access, object, due)).await;
    let (ended, result) = match written {
        Ok(Ok(Some(()))) => {
            let status = due.condition.status.as_str();
            info!("{object}: Programmed={status} {}", due.condition.message);
            (Ended::Done, "written")
        }
        Ok(Ok(None)) => return Ended::Done,
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Ended::Absent,
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            let kind = object.kind.to_lowercase();
            if forbidden.insert(kind.clone()) {
                warn!(
                    "conditions of {kind} may not be written: what is wrong is in this log only; \
                     values.global.istiod.enableAnalysis=true grants it ({})",
                    status.message
                );
            }
            (Ended::Forbidden, "forbidden")
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => (Ended::Failed, "conflict"),
        Ok(Err(error)) => {
            warn!(%error, "the status of {object} could not be written, trying again");
            (Ended::Failed, "failed")
        }
        Err(_) => {
            warn!("the status of {object} could not be written in time, trying again");
            (Ended::Failed, "failed")
        }
    };
    access.metrics.wrote(result);
    ended
}

/// Whether anything had to be written.
async fn try_write(access: &Access, object: &ObjectRef, due: &Due) -> kube::Result<Option<()>> {
    let Some(resource) = kinds::resource(object) else {
        return Ok(None);
    };
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(access.client.clone(), namespace, &resource);
    let stored = api.get(&object.name).await?;
    let stored: Value = serde_json::to_value(stored).map_err(kube::Error::SerdeError)?;
    let Some(patch) = patch(&stored, due, Timestamp::now()) else {
        return Ok(None);
    };
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(patch);
    api.patch_status(&object.name, &params, &patch).await?;
    Ok(Some(()))
}

#[cfg(test)]
mod tests;
