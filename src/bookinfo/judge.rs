//! Role `judge`: decides about requests that proxies ask about. Those with header `x-verdict: no` are refused.

use hyper::StatusCode;
use serde_json::json;

use crate::server::{self, Answer, Call, Options, Service};

struct Judge;

impl Service for Judge {
    async fn answer(&self, call: Call) -> Answer {
        let refuses = call.headers.get("x-verdict").is_some_and(|own| own == "no");
        let status = match refuses {
            true => StatusCode::FORBIDDEN,
            false => StatusCode::OK,
        };
        Answer::json(status, &json!({"refused": refuses, "path": call.path}))
    }
}

/// # Errors
/// When the port cannot be had.
pub async fn run(options: &Options) -> Result<(), String> {
    server::run(options, Judge).await
}
