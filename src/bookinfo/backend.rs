//! A service that another role asks: where it is, and connections to it that are kept for the next question.

use std::sync::Mutex;
use std::time::Duration;

use hyper::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::call::{self, Answer, Connection, Target};

const KEPT: usize = 32;

/// One service, by its URL.
pub struct Backend {
    name: &'static str,
    target: Target,
    timeout: Duration,
    idle: Mutex<Vec<Connection>>,
    /// What was logged last: an outage under load is one line, not thousands.
    told: Mutex<Option<String>>,
}

/// Why a backend gave nothing to show.
#[derive(Debug)]
pub struct Failure {
    /// What to answer when the whole answer depended on it.
    pub status: StatusCode,
    pub message: String,
}

impl Backend {
    /// # Errors
    /// When the URL is none.
    pub fn new(name: &'static str, url: &str, timeout: Duration) -> Result<Self, String> {
        let target = Target::parse(url)?;
        Ok(Self {
            name,
            target,
            timeout,
            idle: Mutex::default(),
            told: Mutex::default(),
        })
    }

    /// The answer to GET `path`, when it has status 200.
    ///
    /// # Errors
    /// When there is none in time, or it has another status.
    pub async fn get(&self, path: &str, headers: &HeaderMap) -> Result<Answer, Failure> {
        let mut slot = self
            .idle
            .lock()
            .expect("nothing panics while it is held")
            .pop();
        let target = self.target.at(path);
        let answer = call::within(self.timeout, call::get(&mut slot, &target, headers)).await;
        if let Some(connection) = slot {
            let mut idle = self.idle.lock().expect("nothing panics while it is held");
            if idle.len() < KEPT {
                idle.push(connection);
            }
        }
        let failure = match answer {
            Ok(answer) if answer.status == StatusCode::OK => {
                self.tell(None);
                return Ok(answer);
            }
            Ok(answer) => Failure {
                status: answer.status,
                message: format!(
                    "{} answered {}: {}",
                    self.name,
                    answer.status.as_u16(),
                    first_line(&answer.body)
                ),
            },
            Err(error) => Failure {
                status: StatusCode::SERVICE_UNAVAILABLE,
                message: format!("{} cannot be reached: {error}", self.name),
            },
        };
        self.tell(Some(&failure.message));
        Err(failure)
    }

    /// Logs that it fails, fails otherwise or answers again.
    fn tell(&self, failure: Option<&str>) {
        let mut told = self.told.lock().expect("nothing panics while it is held");
        if told.as_deref() != failure {
            match failure {
                Some(message) => eprintln!("{message}"),
                None => eprintln!("{} answers again", self.name),
            }
            *told = failure.map(str::to_owned);
        }
    }
}

/// The JSON in an answer.
///
/// # Errors
/// When it is none.
pub fn json(name: &str, answer: &Answer) -> Result<Value, Failure> {
    serde_json::from_slice(&answer.body).map_err(|error| Failure {
        status: StatusCode::BAD_GATEWAY,
        message: format!("{name} answered something that is not JSON: {error}"),
    })
}

/// Enough of a body to see who speaks. Proxies answer in plain text, our services with an `error` in JSON.
fn first_line(body: &[u8]) -> String {
    if let Ok(value) = serde_json::from_slice::<Value>(body)
        && let Some(error) = value["error"].as_str()
    {
        return error.to_owned();
    }
    let text = String::from_utf8_lossy(body);
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(200).collect()
}

#[cfg(test)]
mod tests;
