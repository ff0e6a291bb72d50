use std::time::Duration;

use hyper::{HeaderMap, StatusCode};

use super::{Failures, Wished, listed};

#[test]
fn status_and_delay_are_chosen_in_the_query() {
    let wished = Wished::parse("a=b&status=503&delay=200ms").unwrap();
    assert_eq!(
        (wished.status, wished.delay),
        (
            Some(StatusCode::SERVICE_UNAVAILABLE),
            Duration::from_millis(200)
        )
    );
    assert_eq!(Wished::parse("").unwrap(), Wished::default());
    for query in ["status=100", "status=x", "delay=5", "fails=-1"] {
        assert!(Wished::parse(query).is_err(), "{query}");
    }
}

#[test]
fn the_first_requests_of_a_name_fail() {
    let wished = Wished::parse("fails=2&name=a").unwrap();
    assert_eq!((wished.fails, wished.name.as_str()), (2, "a"));
    let failures = Failures::default();
    let outcomes = [(); 3].map(|()| failures.take("a", 2));
    assert_eq!(outcomes, [true, true, false]);
    assert!(failures.take("b", 1));
    assert!(!failures.take("", 0));
}

#[test]
fn values_of_one_header_are_joined() {
    let mut headers = HeaderMap::new();
    headers.append("x-a", "1".parse().unwrap());
    headers.append("x-a", "2".parse().unwrap());
    assert_eq!(listed(&headers)["x-a"], "1, 2");
}
