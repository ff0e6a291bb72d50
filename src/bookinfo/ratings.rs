//! Role `ratings`: `GET /ratings/0`.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::book;
use crate::identity::Identity;
use crate::server::{self, Answer, Call, Service};

struct Ratings(Identity);

impl Service for Ratings {
    async fn answer(&self, call: Call) -> Answer {
        let Some(number) = book::number(&call.path, "/ratings/") else {
            return Answer::not_found(&call);
        };
        let stars: Map<String, Value> = book::RATINGS
            .iter()
            .map(|(reader, stars)| ((*reader).to_owned(), json!(stars)))
            .collect();
        Answer::json(
            StatusCode::OK,
            &self
                .0
                .sign(json!({"id": number, "ratings": stars}), &call.headers),
        )
    }
}

/// # Errors
/// As [`server::run`].
pub async fn run(options: server::Options) -> Result<(), String> {
    server::run(&options, Ratings(Identity::of(&options.version))).await
}
