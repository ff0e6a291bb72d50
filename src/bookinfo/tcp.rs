//! Role `tcp`: one connection, one greeting, one line and its echo.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::duration;

/// Arguments of `tcp`.
#[derive(Args)]
pub struct Options {
    /// host:port to connect to
    #[arg(long)]
    to: String,
    /// Line to send, before anything is read; without it only what the other side says first is printed
    #[arg(long)]
    line: Option<String>,
    /// Time for everything
    #[arg(long, default_value = "10s", value_parser = duration::parse)]
    timeout: Duration,
}

/// Prints what came back, or the error with exit code 1.
///
/// # Errors
/// None: what goes wrong is the result.
pub async fn run(options: Options) -> Result<ExitCode, String> {
    let result = tokio::time::timeout(
        options.timeout,
        converse(&options.to, options.line.as_deref()),
    )
    .await
    .unwrap_or_else(|_| Err("timeout".to_owned()));
    Ok(match result {
        Ok(answer) => {
            print!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    })
}

async fn converse(to: &str, line: Option<&str>) -> Result<String, String> {
    let stream = TcpStream::connect(to)
        .await
        .map_err(|error| format!("connect: {error}"))?;
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut answer = String::new();
    // Whoever has something to say says it first: a proxy may wait for it to see what is spoken.
    if let Some(line) = line {
        let sent = format!("{line}\n");
        write
            .write_all(sent.as_bytes())
            .await
            .map_err(|error| format!("write: {error}"))?;
        next_line(&mut read, &mut answer).await?;
    }
    next_line(&mut read, &mut answer).await?;
    Ok(answer)
}

async fn next_line(
    read: &mut (impl AsyncBufReadExt + Unpin),
    answer: &mut String,
) -> Result<(), String> {
    match read.read_line(answer).await {
        Ok(0) => Err("connection closed before a line came".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("read: {error}")),
    }
}
