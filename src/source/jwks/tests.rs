//! Keys over real connections: a server of keys that changes, fails and comes back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::security::jwt::{Fetched, KeySource};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::{Blocked, Fetcher, Metrics, Pace, Wanted, follow};
use crate::Change;

const SOON: Duration = Duration::from_secs(10);
const ONE: &str = r#"{"keys":[{"kty":"oct","k":"MQ"}]}"#;
const TWO: &str = r#"{"keys":[{"kty":"oct","k":"Mg"}]}"#;

/// Path, status, further header and body.
type Answer = [String; 4];

/// A server of keys; what was said last about a path holds.
#[derive(Clone)]
struct Server {
    address: String,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let server = Server {
            address,
            answers: Arc::default(),
        };
        let known = server.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut read = vec![0; 4096];
                let count = stream.read(&mut read).await.unwrap_or_default();
                let request = String::from_utf8_lossy(&read[..count]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let answer = known.of(&path);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        server
    }

    fn of(&self, path: &str) -> String {
        let answers = self.answers.lock().expect("a lock");
        let found = answers.iter().rev().find(|[own, ..]| own == path);
        let none = ["404 Not Found", "", ""];
        let [status, header, body] = found.map_or(none, |[_, a, b, c]| [a, b, c]);
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    }

    fn answer(&self, path: &str, status: &str, header: &str, body: &str) {
        let answer = [path, status, header, body].map(str::to_owned);
        self.answers.lock().expect("a lock").push(answer);
    }

    fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn wanted(sources: &[KeySource]) -> Wanted {
    let sources = sources.iter().cloned();
    Wanted {
        sources: sources.map(|source| (source, SOON)).collect(),
        settled: true,
    }
}

fn source(issuer: &str, uri: String) -> KeySource {
    KeySource {
        issuer: issuer.to_owned(),
        uri,
    }
}

fn quick() -> Pace {
    Pace {
        refresh: Duration::from_millis(20),
        retry: Duration::from_millis(5),
        longest: Duration::from_millis(20),
        ..Pace::default()
    }
}

async fn next(changes: &mut mpsc::Receiver<Vec<Change>>) -> Vec<Change> {
    let told = timeout(SOON, changes.recv()).await.expect("in time");
    told.expect("it goes on")
}

#[tokio::test]
async fn keys_are_told_and_told_again_when_they_change() {
    let server = Server::start().await;
    server.answer("/keys", "200 OK", "", ONE);
    let own = source("me", server.at("/keys"));
    let (_sender, receiver) = watch::channel(wanted(std::slice::from_ref(&own)));
    let (told, mut changes) = mpsc::channel(8);
    let fetcher = Fetcher::new(Blocked::default(), Metrics::default());
    tokio::spawn(follow(receiver, fetcher, quick(), told));
    let keys = |text: &str| Change::Keys(own.clone(), Some(Fetched::Keys(text.into())));
    let first = next(&mut changes).await;
    assert_eq!(first, [keys(ONE), Change::Complete]);
    // What proxies could not use, or no answer, leaves the keys that are known.
    server.answer("/keys", "200 OK", "", r#"{"keys":[]}"#);
    server.answer("/keys", "200 OK", "", "nonsense");
    server.answer("/keys", "500 Oh", "", ONE);
    server.answer("/keys", "200 OK", "", TWO);
    assert_eq!(next(&mut changes).await, [keys(TWO)]);
}

#[tokio::test]
async fn what_cannot_be_fetched_holds_nobody_up() {
    let server = Server::start().await;
    let own = source("me", server.at("/keys"));
    let (sender, receiver) = watch::channel(wanted(std::slice::from_ref(&own)));
    let (told, mut changes) = mpsc::channel(8);
    let metrics = Metrics::default();
    let fetcher = Fetcher::new(Blocked::default(), metrics.clone());
    tokio::spawn(follow(receiver, fetcher, quick(), told));
    let failed = |reason: &str| Change::Keys(own.clone(), Some(Fetched::Failed(reason.into())));
    let first = next(&mut changes).await;
    let expected = failed("it answered with an error");
    assert_eq!(first, [expected, Change::Complete]);
    server.answer("/keys", "200 OK", "", ONE);
    let keys = Change::Keys(own.clone(), Some(Fetched::Keys(ONE.into())));
    assert_eq!(next(&mut changes).await, [keys]);
    let (succeeded, failed) = metrics.counts();
    assert!(succeeded > 0 && failed > 0, "{succeeded}, {failed}");
    sender.send_replace(wanted(&[]));
    assert_eq!(next(&mut changes).await, [Change::Keys(own, None)]);
}

#[tokio::test]
async fn issuers_are_asked_where_their_keys_are_and_redirections_are_followed() {
    let server = Server::start().await;
    let configuration = format!(r#"{{"jwks_uri":"{}"}}"#, server.at("/moved"));
    server.answer(
        "/.well-known/openid-configuration",
        "200 OK",
        "",
        &configuration,
    );
    server.answer("/moved", "302 Found", "location: /keys\r\n", "");
    server.answer("/keys", "200 OK", "", ONE);
    let fetcher = Fetcher::new(Blocked::default(), Metrics::default());
    let found = fetcher
        .keys(&source(&server.at("/"), String::new()), SOON)
        .await;
    assert_eq!(found.as_deref(), Ok(ONE));
}

#[tokio::test]
async fn nothing_is_fetched_from_where_it_is_out_of_bounds() {
    let server = Server::start().await;
    server.answer("/keys", "200 OK", "", ONE);
    let blocked = Blocked::parse("127.0.0.0/8,::1/128").expect("ranges");
    let fetcher = Fetcher::new(blocked, Metrics::default());
    let by_name = server.at("/keys").replace("127.0.0.1", "localhost");
    for uri in [server.at("/keys"), by_name] {
        let found = fetcher.keys(&source("me", uri.clone()), SOON).await;
        let failure = found.expect_err("out of bounds");
        assert!(
            failure.detail.contains("keys are not fetched from"),
            "{uri}: {failure:?}"
        );
        assert!(!failure.told.contains("127.0.0.1"), "{uri}: {failure:?}");
    }
}

#[tokio::test]
async fn users_hear_of_a_failure_nothing_that_is_at_the_address() {
    let server = Server::start().await;
    server.answer("/error", "500 private", "", "private");
    server.answer("/other", "200 OK", "", r#"{"private":1,"private":2}"#);
    server.answer("/odd", "302 Found", "location: http://private/ /\r\n", "");
    server.answer("/circle", "302 Found", "location: /circle\r\n", "");
    let discovery = "/.well-known/openid-configuration";
    server.answer(discovery, "200 OK", "", r#"{"jwks_uri":"private /"}"#);
    // It speaks no TLS.
    let silent = server.at("/keys").replace("http:", "https:");
    let fetcher = Fetcher::new(Blocked::default(), Metrics::default());
    let redirects = "it redirects too often, or to where no keys may be fetched from";
    let no_keys = "it answered with no key set that proxies can use";
    for (own, expected) in [
        (
            source("me", server.at("/error")),
            "it answered with an error",
        ),
        (source("me", server.at("/other")), no_keys),
        (source("me", server.at("/odd")), redirects),
        (source("me", server.at("/circle")), redirects),
        (source(&server.at("/"), String::new()), no_keys),
        (source("me", silent), "no answer"),
        (
            source("no URL", String::new()),
            "this is no URL that keys may be fetched from",
        ),
    ] {
        let failure = fetcher.keys(&own, SOON).await.expect_err("no keys");
        assert_eq!(failure.told, expected, "{own:?}");
        assert!(
            !failure.detail.contains("private"),
            "{own:?}: {}",
            failure.detail
        );
    }
}
