//! Role `productpage`: the page of the book for people (`/productpage`), the same facts for programs
//! (`/api/v1/products`), and a login that is only a name in a cookie. What a backend fails to give is said on the
//! page, which itself succeeds.

mod html;

use std::time::Duration;

use clap::Args;
use hyper::header::{CACHE_CONTROL, COOKIE, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use hyper::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use crate::backend::{self, Backend, Failure};
use crate::book;
use crate::duration;
use crate::identity::{Identity, SERVED_BY_POD, SERVED_BY_VERSION};
use crate::propagation::passed_on;
use crate::server::{self, Answer, Call, Service};

const END_USER: HeaderName = HeaderName::from_static("end-user");
const USER_COOKIE: &str = "user";
const PRODUCTS: &str = "/api/v1/products";

/// Arguments of `productpage`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    server: server::Options,
    /// Where details is
    #[arg(long, env = "DETAILS_URL", default_value = "http://details:9080")]
    details: String,
    /// Where reviews is
    #[arg(long, env = "REVIEWS_URL", default_value = "http://reviews:9080")]
    reviews: String,
    /// Where ratings is, for programs that ask the page for them
    #[arg(long, env = "RATINGS_URL", default_value = "http://ratings:9080")]
    ratings: String,
    /// How long to wait for each of them
    #[arg(long, env = "TIMEOUT", default_value = "10s", value_parser = duration::parse)]
    timeout: Duration,
}

struct Page {
    identity: Identity,
    details: Backend,
    reviews: Backend,
    ratings: Backend,
}

impl Service for Page {
    async fn answer(&self, call: Call) -> Answer {
        match (&call.method, call.path.as_str()) {
            (&Method::GET | &Method::HEAD, "/" | "/productpage") => self.page(&call).await,
            (&Method::GET, "/static/page.css") => cached("text/css; charset=utf-8", html::STYLE),
            (&Method::GET, "/static/icon.svg") => cached("image/svg+xml", html::ICON),
            (&Method::POST, "/login") => login(&call.body),
            (_, "/logout") => back_to_page(format!("{USER_COOKIE}=; Path=/; Max-Age=0")),
            (&Method::GET, path) => match path.strip_prefix(PRODUCTS) {
                Some(rest) => self.product(rest, &call).await,
                None => Answer::not_found(&call),
            },
            _ => Answer::not_found(&call),
        }
    }
}

impl Page {
    async fn page(&self, call: &Call) -> Answer {
        let headers = outgoing(&call.headers);
        let (details, reviews) = tokio::join!(
            ask(&self.details, "details", "/details/0", &headers),
            ask(&self.reviews, "reviews", "/reviews/0", &headers),
        );
        let text = html::page(&html::View {
            user: user(&call.headers).as_deref(),
            details: details.as_ref().map_err(|failure| failure.message.as_str()),
            reviews: reviews.as_ref().map_err(|failure| failure.message.as_str()),
            identity: &self.identity,
        });
        let mut answer = Answer::new(StatusCode::OK, "text/html; charset=utf-8", text);
        answer
            .headers
            .push((CACHE_CONTROL, HeaderValue::from_static("no-store")));
        answer
    }

    /// `rest` is what follows `/api/v1/products`.
    async fn product(&self, rest: &str, call: &Call) -> Answer {
        let headers = outgoing(&call.headers);
        let (backend, path) = match rest {
            "" | "/" => {
                let products = json!({"products": [
                    {"id": 0, "title": book::TITLE, "description": book::DESCRIPTION},
                ]});
                return Answer::json(StatusCode::OK, &self.identity.sign(products, &call.headers));
            }
            "/0" => (&self.details, "/details/0"),
            "/0/reviews" => (&self.reviews, "/reviews/0"),
            "/0/ratings" => (&self.ratings, "/ratings/0"),
            _ => return Answer::not_found(call),
        };
        match backend.get(path, &headers).await {
            Ok(given) => passed_back(given),
            Err(failure) => Answer::json(
                failure.status,
                &self
                    .identity
                    .sign(json!({"error": failure.message}), &call.headers),
            ),
        }
    }
}

/// A backend's answer as it came, with the name of who gave it.
fn passed_back(given: crate::call::Answer) -> Answer {
    let mut answer = Answer::new(given.status, "application/json", given.body);
    for name in [SERVED_BY_VERSION, SERVED_BY_POD] {
        if let Some(value) = given.headers.get(name) {
            answer
                .headers
                .push((HeaderName::from_static(name), value.clone()));
        }
    }
    answer
}

async fn ask(
    backend: &Backend,
    name: &str,
    path: &str,
    headers: &HeaderMap,
) -> Result<Value, Failure> {
    let answer = backend.get(path, headers).await?;
    backend::json(name, &answer)
}

/// What is passed on, with the name of who is logged in.
fn outgoing(incoming: &HeaderMap) -> HeaderMap {
    let mut headers = passed_on(incoming);
    if let Some(user) = user(incoming)
        && let Ok(value) = HeaderValue::from_str(&user)
    {
        headers.insert(END_USER, value);
    }
    headers
}

/// Who is logged in: the cookie says so.
fn user(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == USER_COOKIE && is_user(value))
        .map(|(_, value)| value.to_owned())
}

/// Names that need no escaping anywhere.
fn is_user(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn login(form: &[u8]) -> Answer {
    let form = String::from_utf8_lossy(form);
    let name = form
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == "username")
        .map_or("", |(_, value)| value);
    if is_user(name) {
        back_to_page(format!(
            "{USER_COOKIE}={name}; Path=/; HttpOnly; SameSite=Lax"
        ))
    } else {
        let text = "username must be 1 to 32 letters, digits, dots, dashes or underscores\n";
        Answer::new(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", text)
    }
}

fn back_to_page(cookie: String) -> Answer {
    let mut answer = Answer::new(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
    answer
        .headers
        .push((LOCATION, HeaderValue::from_static("/productpage")));
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers.push((SET_COOKIE, cookie));
    }
    answer
}

fn cached(content_type: &'static str, body: &'static str) -> Answer {
    let mut answer = Answer::new(StatusCode::OK, content_type, body);
    answer
        .headers
        .push((CACHE_CONTROL, HeaderValue::from_static("max-age=300")));
    answer
}

/// # Errors
/// When an address is no URL, or as [`server::run`].
pub async fn run(options: Options) -> Result<(), String> {
    let backend = |name, url| Backend::new(name, url, options.timeout);
    let page = Page {
        identity: Identity::of(&options.server.version),
        details: backend("details", &options.details)?,
        reviews: backend("reviews", &options.reviews)?,
        ratings: backend("ratings", &options.ratings)?,
    };
    server::run(&options.server, page).await
}

#[cfg(test)]
mod tests;
