//! What a service account token says about itself. Its signature is judged elsewhere:
//! this only spares the API server the ones that cannot be right.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

/// Tokens longer than this are not read.
const MAX_LENGTH: usize = 16 * 1024;
/// How far the clocks of the issuer and this host may differ.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(1);

/// A token that cannot be accepted, whoever signed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenProblem {
    /// Not three parts of base64 around a JSON object.
    #[error("it is not a JSON web token")]
    NotAToken,
    /// For somebody else.
    #[error("its audiences are {found:?}, expected one of {expected:?}")]
    WrongAudience {
        /// What the token says.
        found: Vec<String>,
        /// What is accepted.
        expected: Vec<String>,
    },
    /// Too old.
    #[error("it expired at {0}")]
    Expired(Timestamp),
    /// Without an end.
    #[error("it has no expiry")]
    NeverExpires,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    aud: Audience,
    exp: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Audience::Many(Vec::new())
    }
}

/// Checks form, audience and expiry at `now`.
pub fn inspect(token: &str, audiences: &[String], now: Timestamp) -> Result<(), TokenProblem> {
    let claims = claims(token).ok_or(TokenProblem::NotAToken)?;
    let found = match claims.aud {
        Audience::One(audience) => vec![audience],
        Audience::Many(audiences) => audiences,
    };
    if !found.iter().any(|audience| audiences.contains(audience)) {
        return Err(TokenProblem::WrongAudience {
            found,
            expected: audiences.to_vec(),
        });
    }
    let seconds = claims.exp.ok_or(TokenProblem::NeverExpires)?;
    // A float is rounded towards the past, and one out of range is no time.
    #[allow(clippy::cast_possible_truncation)]
    let expiry =
        Timestamp::from_second(seconds.floor() as i64).map_err(|_| TokenProblem::NotAToken)?;
    if now.duration_since(expiry) > CLOCK_SKEW {
        return Err(TokenProblem::Expired(expiry));
    }
    Ok(())
}

fn claims(token: &str) -> Option<Claims> {
    if token.len() > MAX_LENGTH {
        return None;
    }
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        return None;
    };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    (!header.is_empty() && !decode(signature)?.is_empty())
        .then(|| decode(payload))
        .flatten()
        .and_then(|payload| serde_json::from_slice(&payload).ok())
}
