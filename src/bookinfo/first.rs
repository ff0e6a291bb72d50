//! Role `first`: whether the network is there when the program starts. One request without any patience, one line
//! of log, then it waits for its end.

use std::time::Duration;

use clap::Args;
use hyper::HeaderMap;

use crate::call::{self, Target};
use crate::{duration, shutdown};

/// Arguments of `first`.
#[derive(Args)]
pub struct Options {
    /// What to ask for
    #[arg(long, env = "URL")]
    url: String,
    /// How long the answer may take
    #[arg(long, env = "TIMEOUT", default_value = "10s", value_parser = duration::parse)]
    timeout: Duration,
}

/// # Errors
/// When the URL is none.
pub async fn run(options: Options) -> Result<(), String> {
    let target = Target::parse(&options.url)?;
    let stop = shutdown::signal()?;
    let mut slot = None;
    match call::within(
        options.timeout,
        call::get(&mut slot, &target, &HeaderMap::new()),
    )
    .await
    {
        Ok(answer) => println!("first: {}", answer.status.as_u16()),
        Err(error) => println!("first: {error}"),
    }
    stop.await;
    Ok(())
}
