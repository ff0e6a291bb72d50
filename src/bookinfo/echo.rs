//! Role `echo`: HTTP answers with what was asked, TCP greets and repeats lines. In a query, `status=503` and
//! `delay=200ms` choose how HTTP answers.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::duration;
use crate::identity::Identity;
use crate::server::{self, Answer, Call, Service};

/// Arguments of `echo`.
#[derive(Args)]
pub struct Options {
    /// Port to serve HTTP on
    #[arg(long, env = "HTTP_PORT", default_value_t = 8080)]
    http: u16,
    /// Port to serve TCP on
    #[arg(long, env = "TCP_PORT", default_value_t = 9000)]
    tcp: u16,
    /// Version that answers name
    #[arg(long, env = "VERSION", default_value = "v1")]
    version: String,
    /// How long to go on serving after SIGTERM
    #[arg(long, env = "DRAIN", default_value = "2s", value_parser = duration::parse)]
    drain: Duration,
}

struct Echo(Identity);

impl Service for Echo {
    async fn answer(&self, call: Call) -> Answer {
        let wished = match Wished::parse(&call.query) {
            Ok(wished) => wished,
            Err(error) => {
                return Answer::json(
                    StatusCode::BAD_REQUEST,
                    &self.0.sign(json!({"error": error}), &call.headers),
                );
            }
        };
        tokio::time::sleep(wished.delay).await;
        Answer::json(
            wished.status,
            &self.0.sign(
                json!({
                    "method": call.method.as_str(),
                    "path": call.path,
                    "query": call.query,
                    "headers": listed(&call.headers),
                    "body_size": call.body.len(),
                    "peer": call.peer.to_string(),
                }),
                &call.headers,
            ),
        )
    }
}

struct Wished {
    status: StatusCode,
    delay: Duration,
}

impl Wished {
    fn parse(query: &str) -> Result<Self, String> {
        let mut wished = Self {
            status: StatusCode::OK,
            delay: Duration::ZERO,
        };
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "status" => {
                    wished.status = StatusCode::from_bytes(value.as_bytes())
                        .ok()
                        .filter(|status| status.as_u16() >= 200)
                        .ok_or_else(|| format!("status {value:?} is none, expected 200 to 999"))?;
                }
                "delay" => wished.delay = duration::parse(value)?,
                _ => {}
            }
        }
        Ok(wished)
    }
}

/// Values of a header given more than once are joined as HTTP says.
fn listed(headers: &HeaderMap) -> Value {
    let mut all = BTreeMap::<&str, String>::new();
    for (name, value) in headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        all.entry(name.as_str())
            .and_modify(|joined| *joined = format!("{joined}, {text}"))
            .or_insert_with(|| text.into_owned());
    }
    json!(all)
}

/// # Errors
/// When a port cannot be had.
pub async fn run(options: Options) -> Result<(), String> {
    let identity = Identity::of(&options.version);
    let listener = server::listen(options.tcp)?;
    let greeting = format!("hello {} {}\n", identity.pod, identity.version);
    let talking = tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(talk(stream, greeting.clone()));
                }
                Err(error) => {
                    eprintln!("accept: {error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    });
    let Options {
        http,
        version,
        drain,
        ..
    } = options;
    let served = server::run(
        &server::Options {
            port: http,
            version,
            drain,
        },
        Echo(identity),
    )
    .await;
    talking.abort();
    served
}

async fn talk(stream: TcpStream, greeting: String) -> std::io::Result<()> {
    let _ = stream.set_nodelay(true);
    let (read, mut write) = stream.into_split();
    write.write_all(greeting.as_bytes()).await?;
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    while read.read_until(b'\n', &mut line).await? > 0 {
        write.write_all(&line).await?;
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
