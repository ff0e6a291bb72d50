//! `/validate`: admits every object that has the shape of one. The rules of each kind are not judged here.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use crate::review::{Malformed, Request, Review, Verdict};

pub async fn answer(headers: HeaderMap, body: Bytes) -> Result<Response, Malformed> {
    let review = Review::read(&headers, &body)?;
    Ok(review.answer(&judge(&review.request)))
}

fn judge(request: &Request) -> Verdict {
    // Only these carry an object that is to be stored.
    if !matches!(request.operation.as_str(), "CREATE" | "UPDATE") {
        return Verdict::Allowed;
    }
    let text = |field: &str| request.object.pointer(field).and_then(Value::as_str);
    for field in ["/apiVersion", "/kind"] {
        if text(field).is_none_or(str::is_empty) {
            return Verdict::Denied(format!(
                "{} is missing, expected a string",
                field.trim_start_matches('/')
            ));
        }
    }
    match request.object.get("spec") {
        None | Some(Value::Null | Value::Object(_)) => Verdict::Allowed,
        Some(_) => Verdict::Denied("spec is not an object".to_owned()),
    }
}
