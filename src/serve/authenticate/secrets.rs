//! Whether a service account may read the Secrets of its namespace, as the API server says: those that it may
//! not read itself are not given to it by the control plane either.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::SpiffeId;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::Right;

/// How long a right holds: that it was taken shows after that.
const HOLDS: Duration = Duration::from_secs(60);
/// How long a refusal holds, or that there was no answer: a gateway often comes before its right does, and waits.
const REFUSAL_HOLDS: Duration = Duration::from_secs(5);
/// For one question.
const CALL: Duration = Duration::from_secs(10);
/// Answers that are remembered; all are forgotten when there are more.
const REMEMBERED: usize = 4096;

/// Asks the API server, and remembers its answers.
pub(super) struct Readers {
    client: Client,
    known: Mutex<BTreeMap<String, Right>>,
}

impl Readers {
    pub fn new(client: Client) -> Self {
        Readers {
            client,
            known: Mutex::default(),
        }
    }

    /// Whether this account may; without an answer it may not.
    pub async fn may_read(&self, account: &SpiffeId) -> Right {
        let user = format!(
            "system:serviceaccount:{}:{}",
            account.namespace, account.service_account
        );
        let now = Instant::now();
        let known = self.known().get(&user).copied();
        if let Some(right) = known.filter(|right| now < right.until) {
            return right;
        }
        let (given, refusal) = match timeout(CALL, self.ask(&user, &account.namespace)).await {
            Ok(Ok(true)) => (true, String::new()),
            Ok(Ok(false)) => (
                false,
                "it may not list the secrets of its namespace".to_owned(),
            ),
            Ok(Err(error)) => (
                false,
                format!("its right to read secrets could not be asked for: {error}"),
            ),
            Err(_) => (
                false,
                "no answer about its right to read secrets".to_owned(),
            ),
        };
        // It is asked for again and again: said once.
        if !given && known.is_none_or(|before| before.given) {
            warn!(user, "no certificates for it: {refusal}");
        }
        let holds = if given { HOLDS } else { REFUSAL_HOLDS };
        let until = Instant::now() + holds;
        let right = Right { given, until };
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(user, right);
        right
    }

    async fn ask(&self, user: &str, namespace: &str) -> Result<bool, kube::Error> {
        let review = SubjectAccessReview {
            metadata: ObjectMeta::default(),
            spec: SubjectAccessReviewSpec {
                user: Some(user.to_owned()),
                resource_attributes: Some(ResourceAttributes {
                    namespace: Some(namespace.to_owned()),
                    verb: Some("list".to_owned()),
                    resource: Some("secrets".to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            status: None,
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let reviewed = api.create(&PostParams::default(), &review).await?;
        Ok(reviewed.status.is_some_and(|status| status.allowed))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Right>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use base::SpiffeId;
    use http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower_test::mock;

    use super::Readers;

    fn account(name: &str) -> SpiffeId {
        SpiffeId {
            trust_domain: "cluster.local".to_owned(),
            namespace: "edge".to_owned(),
            service_account: name.to_owned(),
        }
    }

    #[tokio::test]
    async fn the_answer_of_the_api_server_counts_and_is_asked_for_once() {
        let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
        let readers = Readers::new(Client::new(service, "default"));
        let server = tokio::spawn(async move {
            let mut asked = Vec::new();
            while let Some((request, reply)) = handle.next_request().await {
                let bytes = request.into_body().collect_bytes().await.expect("a body");
                let review: Value = serde_json::from_slice(&bytes).expect("JSON");
                let user = review["spec"]["user"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                let answer = json!({
                    "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                    "metadata": {}, "spec": review["spec"],
                    "status": {"allowed": user.ends_with(":edge")},
                });
                let bytes = serde_json::to_vec(&answer).expect("JSON");
                reply.send_response(Response::new(Body::from(bytes)));
                asked.push(user);
            }
            asked
        });
        for _ in 0..2 {
            assert!(readers.may_read(&account("edge")).await.given);
            assert!(!readers.may_read(&account("other")).await.given);
        }
        drop(readers);
        let users = [
            "system:serviceaccount:edge:edge",
            "system:serviceaccount:edge:other",
        ];
        assert_eq!(server.await.expect("ended"), users);
    }
}
