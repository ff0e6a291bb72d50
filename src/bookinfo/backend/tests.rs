use std::time::Duration;

use hyper::{HeaderMap, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::Backend;

/// A server that gives each connection one of `answers`, then closes it.
async fn serving(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

fn backend(url: &str, timeout: Duration) -> Backend {
    Backend::new("reviews", url, timeout).unwrap()
}

#[tokio::test]
async fn the_first_line_of_a_refusal_is_told() {
    let url =
        serving(&["HTTP/1.1 503 No\r\ncontent-length: 25\r\n\r\nno healthy upstream\nmore\n"])
            .await;
    let failure = backend(&url, Duration::from_secs(5))
        .get("/reviews/0", &HeaderMap::new())
        .await
        .err()
        .unwrap();
    assert_eq!(failure.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(failure.message, "reviews answered 503: no healthy upstream");
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_not_used_again() {
    let url = serving(&[
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n2",
    ])
    .await;
    let backend = backend(&url, Duration::from_secs(5));
    for expected in ["1", "2"] {
        let answer = backend.get("/reviews/0", &HeaderMap::new()).await.unwrap();
        assert_eq!(answer.body, expected);
    }
}

#[tokio::test]
async fn a_connection_cut_before_the_answer_is_a_failure() {
    let url = serving(&[""]).await;
    let failure = backend(&url, Duration::from_secs(5))
        .get("/", &HeaderMap::new())
        .await
        .err()
        .unwrap();
    assert_eq!(
        failure.message,
        "reviews cannot be reached: connection closed"
    );
}

#[tokio::test]
async fn a_silent_backend_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let failure = backend(&url, Duration::from_millis(20))
        .get("/", &HeaderMap::new())
        .await
        .err()
        .unwrap();
    assert_eq!(failure.message, "reviews cannot be reached: timeout");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = backend(&url, Duration::from_secs(5))
        .get("/", &HeaderMap::new())
        .await
        .err()
        .unwrap();
    assert_eq!(
        failure.message,
        "reviews cannot be reached: connection refused"
    );
}
