use std::time::Duration;

use hyper::{HeaderMap, StatusCode};

use super::{Wished, listed};

#[test]
fn status_and_delay_are_chosen_in_the_query() {
    let wished = Wished::parse("a=b&status=503&delay=200ms").unwrap();
    assert_eq!(
        (wished.status, wished.delay),
        (StatusCode::SERVICE_UNAVAILABLE, Duration::from_millis(200))
    );
    let plain = Wished::parse("").unwrap();
    assert_eq!(
        (plain.status, plain.delay),
        (StatusCode::OK, Duration::ZERO)
    );
    for query in ["status=100", "status=x", "delay=5"] {
        assert!(Wished::parse(query).is_err(), "{query}");
    }
}

#[test]
fn values_of_one_header_are_joined() {
    let mut headers = HeaderMap::new();
    headers.append("x-a", "1".parse().unwrap());
    headers.append("x-a", "2".parse().unwrap());
    assert_eq!(listed(&headers)["x-a"], "1, 2");
}
