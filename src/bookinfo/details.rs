//! Role `details`: `GET /details/0`.

use hyper::StatusCode;

use crate::book;
use crate::identity::Identity;
use crate::server::{self, Answer, Call, Service};

struct Details(Identity);

impl Service for Details {
    async fn answer(&self, call: Call) -> Answer {
        match book::number(&call.path, "/details/") {
            Some(_) => Answer::json(StatusCode::OK, &self.0.sign(book::details(), &call.headers)),
            None => Answer::not_found(&call),
        }
    }
}

/// # Errors
/// As [`server::run`].
pub async fn run(options: server::Options) -> Result<(), String> {
    server::run(&options, Details(Identity::of(&options.version))).await
}
