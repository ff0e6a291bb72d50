//! Role `echo`: HTTP answers with what was asked, TCP greets and repeats lines. In a query, `status=503` and
//! `delay=200ms` choose how HTTP answers; `fails=2&name=a` fails the first two requests of that name with 503.

use std::collections::BTreeMap;
use std::sync::Mutex;
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
    /// Status of answers whose query chooses none
    #[arg(long, env = "STATUS", default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=999))]
    status: u16,
    /// What HTTP answers instead of what was asked
    #[arg(long, env = "SAYS")]
    says: Option<String>,
    /// How long to go on serving after SIGTERM
    #[arg(long, env = "DRAIN", default_value = "2s", value_parser = duration::parse)]
    drain: Duration,
}

struct Echo {
    identity: Identity,
    /// Of answers whose query chooses none.
    status: StatusCode,
    says: Option<String>,
    failures: Failures,
}

/// How often requests of a name were failed.
#[derive(Default)]
struct Failures(Mutex<BTreeMap<String, u32>>);

/// Names that are counted; further ones are never failed.
const MOST_NAMES: usize = 1000;

impl Failures {
    /// Whether one more request of this name is to fail, and counts it then.
    fn take(&self, name: &str, of: u32) -> bool {
        let mut counts = self.0.lock().expect("nothing panics while it is held");
        if counts.len() >= MOST_NAMES && !counts.contains_key(name) {
            return false;
        }
        let count = counts.entry(name.to_owned()).or_default();
        let fails = *count < of;
        *count += u32::from(fails);
        fails
    }
}

impl Service for Echo {
    async fn answer(&self, call: Call) -> Answer {
        let wished = match Wished::parse(&call.query) {
            Ok(wished) => wished,
            Err(error) => {
                return Answer::json(
                    StatusCode::BAD_REQUEST,
                    &self.identity.sign(json!({"error": error}), &call.headers),
                );
            }
        };
        tokio::time::sleep(wished.delay).await;
        let status = match wished.status {
            _ if self.failures.take(&wished.name, wished.fails) => StatusCode::SERVICE_UNAVAILABLE,
            Some(status) => status,
            None => self.status,
        };
        if let Some(says) = &self.says {
            return Answer::new(status, "application/json", says.clone());
        }
        Answer::json(
            status,
            &self.identity.sign(
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

#[derive(Debug, Default, PartialEq)]
struct Wished {
    status: Option<StatusCode>,
    delay: Duration,
    /// How many requests of this name are to fail.
    fails: u32,
    name: String,
}

impl Wished {
    fn parse(query: &str) -> Result<Self, String> {
        let mut wished = Self::default();
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "status" => {
                    let status = StatusCode::from_bytes(value.as_bytes())
                        .ok()
                        .filter(|status| status.as_u16() >= 200)
                        .ok_or_else(|| format!("status {value:?} is none, expected 200 to 999"))?;
                    wished.status = Some(status);
                }
                "delay" => wished.delay = duration::parse(value)?,
                "fails" => {
                    wished.fails = value
                        .parse()
                        .map_err(|_| format!("fails {value:?} is no number of requests"))?;
                }
                "name" => value.clone_into(&mut wished.name),
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
        status,
        says,
        ..
    } = options;
    let status = StatusCode::from_u16(status).expect("the range was checked");
    let served = server::run(
        &server::Options {
            port: http,
            version,
            drain,
        },
        Echo {
            identity,
            status,
            says,
            failures: Failures::default(),
        },
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
