//! Role `get`: one HTTP request. The body of its answer goes to standard output, status and headers to standard
//! error.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::header::{HeaderName, HeaderValue};

use crate::call::{self, Target};
use crate::{duration, header};

/// Arguments of `get`.
#[derive(Args)]
pub struct Options {
    /// What to ask for
    #[arg(long, env = "URL")]
    url: String,
    /// Header to send, as name:value; may be given more than once
    #[arg(long = "header", value_parser = header::parse)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// How long the answer may take
    #[arg(long, default_value = "10s", value_parser = duration::parse)]
    timeout: Duration,
}

/// Whatever the status, an answer is success; without one the exit code is 1.
///
/// # Errors
/// When the URL is none, or there is no answer.
pub async fn run(options: Options) -> Result<ExitCode, String> {
    let target = Target::parse(&options.url)?;
    let headers = header::all(options.headers);
    let mut slot = None;
    let answer = call::within(options.timeout, call::get(&mut slot, &target, &headers))
        .await
        .map_err(|error| error.to_string())?;
    eprintln!("status: {}", answer.status.as_u16());
    for (name, value) in &answer.headers {
        eprintln!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    match std::io::stdout().lock().write_all(&answer.body) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
