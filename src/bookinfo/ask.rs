//! Role `ask`: many HTTP requests, one after the other, each told by its method, path and headers. The status of
//! each goes to standard output, as one JSON list; where there is no answer, why.

use std::time::Duration;

use clap::Args;
use hyper::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::call::{self, Target};
use crate::{duration, header};

/// Arguments of `ask`.
#[derive(Args)]
pub struct Options {
    /// Whom to ask: http://host:port
    #[arg(long)]
    url: String,
    /// JSON list of requests: [{"method": "GET", "path": "/", "headers": ["name:value"]}]
    #[arg(long)]
    requests: String,
    /// How long each answer may take
    #[arg(long, default_value = "10s", value_parser = duration::parse)]
    timeout: Duration,
}

struct Question {
    target: Target,
    headers: HeaderMap,
}

fn question(target: &Target, request: &Value) -> Result<Question, String> {
    let text = |key: &str| request[key].as_str().unwrap_or_default();
    let method = Method::from_bytes(text("method").as_bytes());
    let method = method.map_err(|_| format!("{request}: its method is none"))?;
    let path = text("path");
    if path.parse::<hyper::Uri>().is_err() || !path.starts_with('/') {
        return Err(format!("{request}: its path is none"));
    }
    let given = request["headers"].as_array().into_iter().flatten();
    let given = given.map(|text| header::parse(text.as_str().unwrap_or_default()));
    Ok(Question {
        target: Target {
            method,
            ..target.at(path)
        },
        headers: header::all(given.collect::<Result<_, _>>()?),
    })
}

/// Whatever the answers, they are printed.
///
/// # Errors
/// When what is to be asked cannot be read.
pub async fn run(options: Options) -> Result<(), String> {
    let target = Target::parse(&options.url)?;
    let requests: Vec<Value> = serde_json::from_str(&options.requests)
        .map_err(|error| format!("--requests: {error}, expected a JSON list"))?;
    let questions = requests.iter().map(|request| question(&target, request));
    let questions: Vec<Question> = questions.collect::<Result<_, _>>()?;
    let mut slot = None;
    let mut answers = Vec::new();
    for Question { target, headers } in &questions {
        let asked = call::get(&mut slot, target, headers);
        answers.push(match call::within(options.timeout, asked).await {
            Ok(answer) => json!(answer.status.as_u16()),
            Err(error) => json!(error.to_string()),
        });
    }
    println!("{}", json!(answers));
    Ok(())
}
