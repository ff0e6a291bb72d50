//! RequestAuthentication: which tokens are taken, from where, and by which keys.

use std::sync::Arc;

use serde::Deserialize;

use super::TargetRef;
use crate::duration::Duration;
use crate::networking::WorkloadSelector;

/// `spec` of a RequestAuthentication.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestAuthentication {
    /// Workloads; all of the namespace when absent.
    pub selector: Option<WorkloadSelector>,
    /// What it is for instead, in the older form.
    pub target_ref: Option<TargetRef>,
    /// What it is for instead.
    pub target_refs: Vec<TargetRef>,
    /// One per issuer.
    pub jwt_rules: Vec<JwtRule>,
    /// Why it cannot be read. No token passes then.
    #[serde(skip)]
    pub unreadable: Option<String>,
}

/// An issuer of tokens.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JwtRule {
    /// Its name in tokens.
    pub issuer: String,
    /// For whom tokens may be; for anybody when empty.
    pub audiences: Vec<String>,
    /// Where its keys are found; by its name when both this and `jwks` are empty.
    #[serde(alias = "jwks_uri")]
    pub jwks_uri: String,
    /// Its keys.
    pub jwks: String,
    /// Why proxies could not use `jwks`. No token of the issuer passes then.
    #[serde(skip)]
    pub unusable: Option<String>,
    /// Headers with tokens; with none of these three, `Authorization` and parameter `access_token`.
    pub from_headers: Vec<JwtHeader>,
    /// Parameters with tokens.
    pub from_params: Vec<String>,
    /// Cookies with tokens.
    pub from_cookies: Vec<String>,
    /// Header in which the workload gets what the token says, in base64.
    pub output_payload_to_header: String,
    /// Claims of which the workload gets each in a header.
    pub output_claim_to_headers: Vec<ClaimToHeader>,
    /// Whether the workload gets the token too.
    pub forward_original_token: bool,
    /// For the keys to be fetched.
    pub timeout: Option<Duration>,
    /// Claims that are lists with spaces between the items, beside `scope` and `permission`.
    pub space_delimited_claims: Vec<String>,
    /// Whether requests without a token pass.
    pub presence: Presence,
}

/// Whether requests without a token pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Presence {
    /// They do, without a principal.
    #[default]
    Optional,
    /// They do not.
    Required,
}

/// A header with a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JwtHeader {
    /// Its name.
    pub name: String,
    /// What stands before the token.
    pub prefix: String,
}

/// A claim that becomes a header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimToHeader {
    /// The header.
    pub header: String,
    /// The claim; parts of it after dots.
    pub claim: String,
}

impl RequestAuthentication {
    /// What it is for, when no labels say it.
    pub fn targets(&self) -> &[TargetRef] {
        TargetRef::all(&self.target_refs, self.target_ref.as_ref())
    }
}

/// Where the keys of an issuer are fetched from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeySource {
    /// The issuer.
    pub issuer: String,
    /// Where its keys are; empty when the issuer is asked for that first (OpenID Connect Discovery).
    pub uri: String,
}

/// What became of fetching keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// A JSON Web Key Set that proxies can use.
    Keys(Arc<str>),
    /// None are known, for this reason.
    Failed(Arc<str>),
}

impl JwtRule {
    /// Where its keys are fetched from, unless it brings them or does not say it.
    pub fn key_source(&self) -> Option<KeySource> {
        let said = !self.issuer.is_empty() || !self.jwks_uri.is_empty();
        (self.jwks.is_empty() && said).then(|| KeySource {
            issuer: self.issuer.clone(),
            uri: self.jwks_uri.clone(),
        })
    }
}
