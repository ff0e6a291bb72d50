use hyper::HeaderMap;
use hyper::header::HeaderValue;

use super::passed_on;

#[test]
fn what_joins_calls_is_passed_on_and_nothing_else() {
    let mut incoming = HeaderMap::new();
    for name in [
        "x-request-id",
        "x-b3-traceid",
        "traceparent",
        "end-user",
        "host",
        "content-length",
        "x-envoy-attempt-count",
    ] {
        incoming.insert(name, HeaderValue::from_static("1"));
    }
    let mut names: Vec<_> = passed_on(&incoming)
        .keys()
        .map(|name| name.as_str().to_owned())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["end-user", "traceparent", "x-b3-traceid", "x-request-id"]
    );
}

#[test]
fn a_header_given_twice_is_passed_on_twice() {
    let mut incoming = HeaderMap::new();
    incoming.append("cookie", HeaderValue::from_static("a=1"));
    incoming.append("cookie", HeaderValue::from_static("b=2"));
    assert_eq!(passed_on(&incoming).get_all("cookie").iter().count(), 2);
}
