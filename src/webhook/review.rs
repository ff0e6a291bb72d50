//! AdmissionReview on the wire, as much of it as is read, and our own answer: kube's writes a patch
//! as an array of numbers, which not every client reads.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const GROUP: &str = "admission.k8s.io/";
const KIND: &str = "AdmissionReview";

/// What is asked.
#[derive(Debug)]
pub struct Review {
    api_version: String,
    /// The request itself.
    pub request: Request,
}

/// The parts of a request that are read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Echoed in the answer.
    pub uid: String,
    /// Namespace of the object, absent for cluster-scoped ones.
    #[serde(default)]
    pub namespace: String,
    /// Name of the object, absent while it is generated.
    #[serde(default)]
    pub name: String,
    /// CREATE, UPDATE, DELETE, CONNECT.
    #[serde(default)]
    pub operation: String,
    /// Whether nothing will be stored anyway.
    #[serde(default)]
    pub dry_run: bool,
    /// The object; null on DELETE.
    #[serde(default)]
    pub object: Value,
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it is.
    Allowed,
    /// As it is, with remarks for the user.
    Warned(Vec<String>),
    /// Once this JSON patch has been applied to it.
    Patched(Value),
    /// Not at all, with a reason for the user.
    Denied(String),
}

/// The body is not a review.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    status: StatusCode,
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireReview {
    api_version: String,
    kind: String,
    request: Option<Request>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'a str,
    kind: &'a str,
    response: AnswerResponse<'a>,
}

#[derive(Serialize)]
struct AnswerResponse<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<AnswerStatus<'a>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    patch: Option<AnswerPatch>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerPatch {
    patch_type: &'static str,
    /// In base64.
    patch: String,
}

#[derive(Serialize)]
struct AnswerStatus<'a> {
    code: u16,
    message: &'a str,
}

impl Review {
    /// Reads a request of the API server.
    ///
    /// # Errors
    /// [`Malformed`], which answers 400, or 415 for a body that is not JSON.
    pub fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, Malformed> {
        let bad = |message: String| Malformed {
            status: StatusCode::BAD_REQUEST,
            message,
        };
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let media_type = content_type.and_then(|value| value.split(';').next());
        if media_type != Some("application/json") {
            return Err(Malformed {
                status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
                message: format!("content type {content_type:?}, expected application/json"),
            });
        }
        let review: WireReview = serde_json::from_slice(body)
            .map_err(|error| bad(format!("not an AdmissionReview: {error}")))?;
        let version = review.api_version.strip_prefix(GROUP);
        if review.kind != KIND || !matches!(version, Some("v1" | "v1beta1")) {
            return Err(bad(format!(
                "{} {}, expected {GROUP}v1 {KIND}",
                review.api_version, review.kind
            )));
        }
        Ok(Review {
            api_version: review.api_version,
            request: review
                .request
                .ok_or_else(|| bad("request is missing".to_owned()))?,
        })
    }

    /// The answer, in the version of the question.
    pub fn answer(&self, verdict: &Verdict) -> Response {
        let status = match verdict {
            Verdict::Allowed | Verdict::Warned(_) | Verdict::Patched(_) => None,
            Verdict::Denied(message) => Some(AnswerStatus {
                code: StatusCode::FORBIDDEN.as_u16(),
                message,
            }),
        };
        let patch = match verdict {
            Verdict::Patched(patch) => Some(AnswerPatch {
                patch_type: "JSONPatch",
                patch: STANDARD.encode(patch.to_string()),
            }),
            Verdict::Allowed | Verdict::Warned(_) | Verdict::Denied(_) => None,
        };
        let warnings = match verdict {
            Verdict::Warned(warnings) => warnings.as_slice(),
            _ => &[],
        };
        Json(Answer {
            api_version: &self.api_version,
            kind: KIND,
            response: AnswerResponse {
                uid: &self.request.uid,
                allowed: status.is_none(),
                status,
                patch,
                warnings,
            },
        })
        .into_response()
    }
}

impl Malformed {
    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Malformed {
    fn into_response(self) -> Response {
        (self.status, self.message + "\n").into_response()
    }
}
