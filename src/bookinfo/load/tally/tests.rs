use std::time::Duration;

use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Tally;
use crate::call::{Answer, CallError};

fn answer(status: u16, header: Option<&str>, body: &str) -> Result<Answer, CallError> {
    let mut headers = HeaderMap::new();
    if let Some(version) = header {
        headers.insert("x-served-by-version", version.parse().unwrap());
    }
    let status = StatusCode::from_u16(status).unwrap();
    Ok(Answer {
        status,
        headers,
        body: body.to_owned().into(),
    })
}

#[test]
fn statuses_errors_and_versions_are_counted_over_all_workers() {
    let mut first = Tally::default();
    first.record(&answer(200, Some("v1"), ""), Duration::from_millis(2));
    first.record(
        &answer(200, None, r#"{"version": "v2"}"#),
        Duration::from_millis(4),
    );
    let mut second = Tally::default();
    second.record(
        &answer(503, None, "no healthy upstream"),
        Duration::from_millis(1),
    );
    second.record(&Err(CallError::Timeout), Duration::from_secs(1));
    first.add(second);
    assert_eq!(
        first.report(Duration::from_secs(1)),
        json!({
            "sent": 4,
            "statuses": {"200": 2, "503": 1},
            "errors": {"timeout": 1},
            "versions": {"v1": 1, "v2": 1},
            "p50_ms": 2.0,
            "p99_ms": 4.0,
            "max_ms": 4.0,
            "seconds": 1.0,
        })
    );
}

#[test]
fn without_an_answer_there_are_no_times() {
    let report = Tally::default().report(Duration::ZERO);
    assert_eq!(
        (&report["p50_ms"], &report["p99_ms"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(report["sent"], 0);
}
