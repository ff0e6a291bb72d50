//! Who is calling: the identity behind a connection's credentials.
//! A caller learns only that it was refused; the reason is for the log.

mod token;

use base::SpiffeId;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};

pub use token::TokenProblem;

/// What a caller presents.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// Value of the `authorization` header.
    pub authorization: Option<&'a str>,
}

/// A caller that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its workload identity.
    pub spiffe: SpiffeId,
}

/// Why a caller was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nothing to judge.
    #[error("no credentials: expected the header authorization: Bearer <service account token>")]
    NoCredentials,
    /// The token was refused without asking the API server.
    #[error("token refused: {0}")]
    Token(#[from] TokenProblem),
    /// The API server does not accept the token.
    #[error("the API server refused the token: {0}")]
    Rejected(String),
    /// Accepted, but not for a workload.
    #[error("{0:?} is not a service account")]
    NotAServiceAccount(String),
    /// The API server could not be asked; the caller may try again.
    #[error("the API server could not review the token: {0}")]
    Unavailable(#[source] kube::Error),
}

impl Refusal {
    /// What the caller is told: nothing about why, but whether trying again may help.
    pub fn status(&self) -> tonic::Status {
        match self {
            Refusal::Unavailable(_) => {
                tonic::Status::unavailable("authentication is not available")
            }
            _ => tonic::Status::unauthenticated("authentication failure"),
        }
    }
}

/// Recognises callers.
#[tonic::async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// The identity behind `credentials`.
    ///
    /// # Errors
    /// [`Refusal`], for the log; the caller gets [`Refusal::status`].
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Identity, Refusal>;
}

/// Recognises Kubernetes service account tokens by TokenReview.
pub struct TokenReviewer {
    /// Where reviews are asked for.
    pub client: Client,
    /// A token must be meant for one of these.
    pub audiences: Vec<String>,
    /// Of the identities given.
    pub trust_domain: String,
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
        // Cheap checks first: junk must not use up the API server.
        token::inspect(token, &self.audiences, jiff::Timestamp::now())?;

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
        let status = reviewed.map_err(Refusal::Unavailable)?.status;
        judge(
            &status.unwrap_or_default(),
            &self.audiences,
            &self.trust_domain,
        )
    }
}

/// Reads the API server's verdict.
fn judge(
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

#[cfg(test)]
mod tests;
