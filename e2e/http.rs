//! One plain HTTP request from this machine, to an address of the cluster or through a stream.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Every exchange has this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Status and body of an answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// `GET path` with the given header `Host` from `address` (host:port).
///
/// # Errors
/// When no whole answer comes in time.
pub async fn get(address: &str, host: &str, path: &str) -> Result<Answer, String> {
    let exchange = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| error.to_string())?;
        get_over(stream, host, path).await
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .unwrap_or_else(|_| Err(format!("{address}: no answer within {PATIENCE:?}")))
}

/// As [`get`], over a connection that is there already.
///
/// # Errors
/// When no whole answer comes in time.
pub async fn get_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
) -> Result<Answer, String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let exchange = async {
        let mut answer = Vec::new();
        stream.write_all(request.as_bytes()).await?;
        // Envoy closes a second after its answer, so its end is found in what it says.
        loop {
            let ended = stream.read_buf(&mut answer).await? == 0;
            let text = String::from_utf8_lossy(&answer);
            match parse(&text, ended) {
                Some(parsed) => return Ok(parsed),
                None if ended => return Err(std::io::Error::other(format!("no answer: {text:?}"))),
                None => {}
            }
        }
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(answer) => answer.map_err(|error| format!("{path}: {error}")),
        Err(_) => Err(format!("{path}: no whole answer within {PATIENCE:?}")),
    }
}

/// An answer, when all of it is there.
fn parse(text: &str, ended: bool) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse::<usize>().ok());
    let body = match length {
        Some(length) => body.get(..length)?.to_owned(),
        None if head.contains("\r\ntransfer-encoding: chunked") => joined(body)?,
        None if ended => body.to_owned(),
        None => return None,
    };
    Some(Answer { status, body })
}

/// The content of chunks (RFC 9112, section 7.1), when the last one is there.
fn joined(mut chunks: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, rest) = chunks.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(rest.get(..size)?);
        chunks = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}
