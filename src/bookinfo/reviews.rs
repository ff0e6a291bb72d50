//! Role `reviews`: `GET /reviews/0`. Version v1 gives no stars; v2 and v3 ask `ratings` for them and tell the page
//! their colour. Without ratings the reviews are still shown, with the reason why they have no stars.

use std::time::Duration;

use clap::Args;
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::backend::{self, Backend, Failure};
use crate::book;
use crate::duration;
use crate::identity::Identity;
use crate::propagation::passed_on;
use crate::server::{self, Answer, Call, Service};

/// Arguments of `reviews`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    server: server::Options,
    /// Where ratings is
    #[arg(long, env = "RATINGS_URL", default_value = "http://ratings:9080")]
    ratings: String,
    /// How long to wait for ratings
    #[arg(long, env = "TIMEOUT", default_value = "10s", value_parser = duration::parse)]
    timeout: Duration,
}

struct Reviews {
    identity: Identity,
    stars: Option<Stars>,
}

struct Stars {
    colour: &'static str,
    ratings: Backend,
}

impl Service for Reviews {
    async fn answer(&self, call: Call) -> Answer {
        let Some(number) = book::number(&call.path, "/reviews/") else {
            return Answer::not_found(&call);
        };
        let rating = match &self.stars {
            None => None,
            Some(stars) => Some((stars.colour, stars.ask(number, &call.headers).await)),
        };
        let reviews: Vec<Value> = book::REVIEWS
            .iter()
            .map(|(reader, text)| match &rating {
                None => json!({"reader": reader, "text": text}),
                Some((colour, Ok(ratings))) => json!({
                    "reader": reader,
                    "text": text,
                    "rating": {"stars": ratings["ratings"][*reader], "colour": colour},
                }),
                Some((_, Err(failure))) => json!({
                    "reader": reader,
                    "text": text,
                    "rating": {"error": failure.message},
                }),
            })
            .collect();
        Answer::json(
            StatusCode::OK,
            &self
                .identity
                .sign(json!({"id": number, "reviews": reviews}), &call.headers),
        )
    }
}

impl Stars {
    async fn ask(&self, number: u32, incoming: &HeaderMap) -> Result<Value, Failure> {
        let answer = self
            .ratings
            .get(&format!("/ratings/{number}"), &passed_on(incoming))
            .await?;
        backend::json("ratings", &answer)
    }
}

/// # Errors
/// When the version is none of the three, the address of ratings is no URL, or as [`server::run`].
pub async fn run(options: Options) -> Result<(), String> {
    let colour = match options.server.version.as_str() {
        "v1" => None,
        "v2" => Some("black"),
        "v3" => Some("red"),
        other => {
            return Err(format!(
                "version {other:?} of reviews is unknown, expected v1, v2 or v3"
            ));
        }
    };
    let stars = match colour {
        None => None,
        Some(colour) => Some(Stars {
            colour,
            ratings: Backend::new("ratings", &options.ratings, options.timeout)?,
        }),
    };
    let identity = Identity::of(&options.server.version);
    server::run(&options.server, Reviews { identity, stars }).await
}
