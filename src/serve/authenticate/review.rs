//! Recognises Kubernetes service account tokens by TokenReview, once for each token and
//! [`REMEMBERED`](super::REMEMBERED).

use std::time::Duration;

use base::SpiffeId;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::secrets::Readers;
use super::verdicts::{Verdicts, key};
use super::{Authenticate, Credentials, Identity, Metrics, Refusal, Right, token};

/// Reviews under way at one moment, so that a crowd leaves the API server to others too; the rest waits.
const CONCURRENT: usize = 32;
/// For one review, waiting for its turn included.
const CALL: Duration = Duration::from_secs(10);

/// Recognises service account tokens.
pub struct TokenReviewer {
    client: Client,
    audiences: Vec<String>,
    trust_domain: String,
    pub(super) metrics: Metrics,
    verdicts: Verdicts,
    turns: Semaphore,
    readers: Readers,
}

impl TokenReviewer {
    /// Reviews are asked of `client`; a token must be meant for one of `audiences`; identities are of
    /// `trust_domain`.
    pub fn new(
        client: Client,
        audiences: Vec<String>,
        trust_domain: String,
        metrics: Metrics,
    ) -> Self {
        TokenReviewer {
            readers: Readers::new(client.clone()),
            client,
            audiences,
            trust_domain,
            metrics,
            verdicts: Verdicts::default(),
            turns: Semaphore::new(CONCURRENT),
        }
    }

    async fn review(&self, token: &str) -> Result<Identity, Refusal> {
        let unavailable = |reason: &dyn std::fmt::Display| {
            let reason = reason.to_string();
            Refusal::Unavailable(reason.into())
        };
        let asked = async {
            let _turn = self.turns.acquire().await.map_err(|e| unavailable(&e))?;
            self.metrics.reviews.inc();
            let review = TokenReview {
                metadata: ObjectMeta::default(),
                spec: TokenReviewSpec {
                    audiences: Some(self.audiences.clone()),
                    token: Some(token.to_owned()),
                },
                status: None,
            };
            let api: Api<TokenReview> = Api::all(self.client.clone());
            let reviewed = api.create(&PostParams::default(), &review).await;
            reviewed
                .map(|review| review.status)
                .map_err(|e| unavailable(&e))
        };
        let status = timeout(CALL, asked)
            .await
            .map_err(|_| unavailable(&"no answer in time"))??;
        judge(
            &status.unwrap_or_default(),
            &self.audiences,
            &self.trust_domain,
        )
    }
}

#[tonic::async_trait]
impl Authenticate for TokenReviewer {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Identity, Refusal> {
        let token = credentials
            .authorization
            .and_then(|value| {
                // `Istio ` is the prefix that older agents use.
                ["Bearer ", "bearer ", "Istio "]
                    .iter()
                    .find_map(|prefix| value.strip_prefix(prefix))
            })
            .map(str::trim)
            .filter(|token| !token.is_empty())
            .ok_or(Refusal::NoCredentials)?;
        // Cheap checks first: junk must not use up the API server. They hold for remembered tokens too, so
        // none outlives its expiry.
        token::inspect(token, &self.audiences, Timestamp::now())?;

        let verdict = self.verdicts.of(key(token), Instant::now());
        let mut asked = false;
        let judged = verdict
            .get_or_init(|| {
                asked = true;
                self.review(token)
            })
            .await
            .clone();
        if !asked {
            self.metrics.remembered.inc();
        } else if judged.is_err() {
            self.verdicts.forget(&key(token), &verdict);
        }
        judged
    }

    async fn may_read_secrets(&self, caller: &Identity) -> Option<Right> {
        Some(self.readers.may_read(&caller.spiffe).await)
    }
}

/// Reads the API server's verdict.
pub(super) fn judge(
    status: &TokenReviewStatus,
    audiences: &[String],
    trust_domain: &str,
) -> Result<Identity, Refusal> {
    if status.authenticated != Some(true) {
        let reason = status.error.clone();
        return Err(Refusal::Rejected(
            reason.unwrap_or_else(|| "no reason given".to_owned()),
        ));
    }
    // An API server that ignores audiences echoes none of ours.
    let accepted = status.audiences.as_deref().unwrap_or_default();
    if !accepted.iter().any(|audience| audiences.contains(audience)) {
        return Err(Refusal::Rejected(format!(
            "it is accepted for the audiences {accepted:?}, not for {audiences:?}"
        )));
    }
    let user = status.user.clone().unwrap_or_default();
    let name = user.username.unwrap_or_default();
    let groups = user.groups.unwrap_or_default();
    let workload = groups.iter().any(|group| group == "system:serviceaccounts");
    match name.split(':').collect::<Vec<_>>()[..] {
        ["system", "serviceaccount", namespace, service_account]
            if workload && !namespace.is_empty() && !service_account.is_empty() =>
        {
            Ok(Identity {
                spiffe: SpiffeId {
                    trust_domain: trust_domain.to_owned(),
                    namespace: namespace.to_owned(),
                    service_account: service_account.to_owned(),
                },
            })
        }
        _ => Err(Refusal::NotAServiceAccount(name)),
    }
}
