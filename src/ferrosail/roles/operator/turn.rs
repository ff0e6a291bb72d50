//! One replica at a time: a Lease that a replica holds while it starts its hosted control plane anew, so that the
//! others serve meanwhile. Whether and when to start anew is decided elsewhere.

use kube::Client;
use serve::Shutdown;
use serve::leader::{self, Candidate, Leadership};

/// A replica's place in the queue; what it holds is given up with it.
pub struct Turn {
    held: Leadership,
    end: Shutdown,
}

impl Turn {
    /// Stands in the queue as `identity`.
    pub fn stand(client: Client, namespace: &str, identity: &str) -> Turn {
        let end = Shutdown::new();
        let candidate = Candidate {
            namespace: namespace.to_owned(),
            lease: base::names::HOSTING_LEASE.to_owned(),
            identity: identity.to_owned(),
        };
        // The task ends by itself, as soon as the Lease is given up.
        let (held, _) = leader::stand(client, candidate, end.clone());
        Turn { held, end }
    }

    /// Resolves when it is this replica's turn.
    pub async fn comes(&mut self) {
        if self.held.wait_for(|held| *held).await.is_err() {
            // Without a Lease there is no turn: what serves goes on.
            std::future::pending().await
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use http::{Method, Request, Response};
    use kube::Client;
    use kube::client::Body;
    use serde_json::{Value, json};
    use tokio::sync::watch;

    use super::Turn;

    /// An API server that keeps one Lease, and who asked for it.
    #[derive(Default)]
    struct Server {
        lease: Option<Value>,
        version: u64,
    }

    impl Server {
        fn answer(&mut self, method: &Method, body: Value) -> (u16, Value) {
            let stored = &self.lease;
            match *method {
                Method::GET => match stored {
                    Some(lease) => (200, lease.clone()),
                    None => (404, failure(404)),
                },
                _ => {
                    let old = |lease: &Value| {
                        let version =
                            |object: &Value| object["metadata"]["resourceVersion"].clone();
                        version(lease) != version(&body)
                    };
                    if stored.as_ref().is_some_and(old) {
                        return (409, failure(409));
                    }
                    self.version += 1;
                    let mut lease = body;
                    lease["metadata"]["resourceVersion"] = self.version.to_string().into();
                    self.lease = Some(lease.clone());
                    (200, lease)
                }
            }
        }
    }

    fn failure(code: u16) -> Value {
        let reason = if code == 404 { "NotFound" } else { "Conflict" };
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "no",
            "reason": reason})
    }

    /// A client of `server` that counts what is asked through it.
    fn client(server: &Arc<Mutex<Server>>) -> (Client, watch::Receiver<usize>) {
        let server = Arc::clone(server);
        let (asked, count) = watch::channel(0);
        let asked = Arc::new(asked);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, asked) = (Arc::clone(&server), Arc::clone(&asked));
            async move {
                let (head, body) = request.into_parts();
                let bytes = body.collect_bytes().await.expect("a body");
                let body = serde_json::from_slice(&bytes).unwrap_or_default();
                let mut server = server.lock().expect("no panic while it is held");
                let (code, answer) = server.answer(&head.method, body);
                asked.send_modify(|count| *count += 1);
                Response::builder()
                    .status(code)
                    .body(Body::from(answer.to_string().into_bytes()))
            }
        });
        (Client::new(service, "default"), count)
    }

    #[tokio::test]
    async fn a_replica_has_its_turn_when_the_one_before_has_finished() {
        let server = Arc::default();
        let (of_first, _) = client(&server);
        let (of_second, mut asked) = client(&server);
        let mut first = Turn::stand(of_first, "istio-system", "first");
        first.comes().await;

        let mut second = Turn::stand(of_second, "istio-system", "second");
        asked.wait_for(|asked| *asked > 1).await.expect("it asks");
        assert!(!*second.held.borrow(), "two at a time");

        drop(first);
        let turn = tokio::time::timeout(Duration::from_secs(60), second.comes());
        turn.await.expect("a turn at last");
    }
}
