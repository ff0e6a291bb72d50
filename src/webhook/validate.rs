//! `/validate`: the verdict of crate `validate` on an object that is to be stored.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use base::Severity;
use serde_json::Value;

use crate::metrics::{Reason, Validation};
use crate::review::{Malformed, Request, Review, Verdict};

pub async fn answer(
    State(metrics): State<Validation>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Malformed> {
    let review = Review::read(&headers, &body)
        .inspect_err(|malformed| metrics.unreadable(malformed.status()))?;
    Ok(review.answer(&judge(&review.request, &metrics)))
}

fn judge(request: &Request, metrics: &Validation) -> Verdict {
    let mut object = request.object.clone();
    let subject = validate::reference(&object);
    // Only these carry an object that is to be stored.
    if !matches!(request.operation.as_str(), "CREATE" | "UPDATE") {
        metrics.failed(&subject, Reason::UnsupportedOperation);
        return Verdict::Allowed;
    }
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
        // Nothing would have been stored.
        if !request.dry_run {
            let known = api::crds::schema(subject.group(), &subject.kind).is_some();
            let reason = match known {
                true => Reason::InvalidConfig,
                false => Reason::UnknownType,
            };
            metrics.failed(&subject, reason);
        }
        return Verdict::Denied(of(Severity::Error).join("; "));
    }
    metrics.passed(&subject);
    match of(Severity::Warning) {
        warnings if warnings.is_empty() => Verdict::Allowed,
        warnings => Verdict::Warned(warnings),
    }
}
