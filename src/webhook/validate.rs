//! `/validate`: the verdict of crate `validate` on an object that is to be stored.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use base::Severity;
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
    let mut object = request.object.clone();
    // While a name is generated, and before a namespace is filled in, the object itself has none.
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for (field, known) in [("namespace", &request.namespace), ("name", &request.name)] {
            if !known.is_empty() {
                metadata
                    .entry(field)
                    .or_insert_with(|| known.as_str().into());
            }
        }
    }
    let problems = validate::object(&object);
    let of = |severity: Severity| {
        let problems = problems
            .iter()
            .filter(move |problem| problem.severity == severity);
        problems.map(ToString::to_string).collect::<Vec<_>>()
    };
    if !validate::accepts(&problems) {
        return Verdict::Denied(of(Severity::Error).join("; "));
    }
    match of(Severity::Warning) {
        warnings if warnings.is_empty() => Verdict::Allowed,
        warnings => Verdict::Warned(warnings),
    }
}
