//! Readiness as a set of named checks, and the HTTP answers made from it.
//! Liveness is that the process answers at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::sync::watch;

/// Ready when every named check passes; a check fails until it is first told to pass.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    checks: Arc<watch::Sender<Checks>>,
}

/// Check → why it fails, `None` when it passes.
type Checks = BTreeMap<&'static str, Option<String>>;

/// One check of a [`Readiness`].
#[derive(Clone, Debug)]
pub struct Check {
    name: &'static str,
    of: Readiness,
}

impl Readiness {
    /// No checks yet, which counts as ready.
    pub fn new() -> Self {
        Readiness::default()
    }

    /// Adds a check, failing with `waiting for …`.
    pub fn check(&self, name: &'static str, waiting_for: &str) -> Check {
        self.set(name, Some(format!("waiting for {waiting_for}")));
        Check {
            name,
            of: self.clone(),
        }
    }

    /// Why it is not ready, one line per failing check; empty when ready.
    pub fn failing(&self) -> Vec<String> {
        failing(&self.checks.borrow())
    }

    /// Tells `each` what [`failing`](Self::failing) says, now and whenever that changes; never ends.
    pub async fn follow(&self, mut each: impl FnMut(Vec<String>)) -> std::convert::Infallible {
        let mut checks = self.checks.subscribe();
        loop {
            let now = failing(&checks.borrow_and_update());
            each(now);
            // The sender lives in `self`.
            let _ = checks.changed().await;
        }
    }

    fn set(&self, name: &'static str, why: Option<String>) {
        self.checks.send_if_modified(|checks| {
            let before = checks.insert(name, why.clone());
            before != Some(why)
        });
    }
}

impl Check {
    /// It passes from now on.
    pub fn pass(&self) {
        self.of.set(self.name, None);
    }

    /// It fails from now on, because of `why`.
    pub fn fail(&self, why: impl Into<String>) {
        self.of.set(self.name, Some(why.into()));
    }
}

fn failing(checks: &Checks) -> Vec<String> {
    let failing = checks
        .iter()
        .filter_map(|(name, why)| Some((name, why.as_ref()?)));
    failing
        .map(|(name, why)| format!("{name}: {why}"))
        .collect()
}

/// `/ready` and `/readyz` answer 200, or 503 with the failing checks; `/healthz` answers 200.
pub fn router(readiness: Readiness) -> Router {
    let ready = move || {
        let failing = readiness.failing();
        async move {
            if failing.is_empty() {
                (StatusCode::OK, "ok\n".to_owned())
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, failing.join("\n") + "\n")
            }
        }
    };
    Router::new()
        .route("/ready", get(ready.clone()))
        .route("/readyz", get(ready))
        .route("/healthz", get(|| async { "ok\n" }))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::{Readiness, router};

    async fn get(readiness: &Readiness, path: &str) -> (u16, String) {
        let request = http::Request::get(path)
            .body(Body::empty())
            .expect("a request");
        let response = router(readiness.clone()).oneshot(request).await;
        let response = response.expect("the router cannot fail");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body");
        (
            status,
            String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        )
    }

    #[tokio::test]
    async fn is_ready_only_while_every_check_passes() {
        let readiness = Readiness::new();
        let (ca, xds) = (
            readiness.check("ca", "a root"),
            readiness.check("xds", "its port"),
        );
        assert_eq!(
            get(&readiness, "/ready").await,
            (
                503,
                "ca: waiting for a root\nxds: waiting for its port\n".into()
            )
        );
        ca.pass();
        assert_eq!(get(&readiness, "/readyz").await.0, 503);
        xds.pass();
        assert_eq!(get(&readiness, "/ready").await, (200, "ok\n".into()));
        ca.fail("the secret is gone");
        assert_eq!(
            get(&readiness, "/ready").await,
            (503, "ca: the secret is gone\n".into())
        );
    }

    #[tokio::test]
    async fn who_follows_is_told_of_changes_only() {
        let readiness = Readiness::new();
        let ca = readiness.check("ca", "a root");
        let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
        let following = readiness.clone();
        let follow = async move {
            following
                .follow(|failing| sender.send(failing).expect("open"))
                .await
        };
        let steps = async {
            assert_eq!(
                told.recv().await,
                Some(vec!["ca: waiting for a root".to_owned()])
            );
            ca.fail("waiting for a root");
            ca.pass();
            assert_eq!(told.recv().await, Some(vec![]));
        };
        tokio::select! {
            never = follow => match never {},
            () = steps => {}
        }
    }

    #[tokio::test]
    async fn is_alive_without_being_ready() {
        let readiness = Readiness::new();
        readiness.check("ca", "a root");
        assert_eq!(get(&readiness, "/healthz").await.0, 200);
    }
}
