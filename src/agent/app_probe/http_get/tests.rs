use http::HeaderValue;

use super::{host, join};

#[test]
fn the_host_names_the_port_of_the_application() {
    for (given, expected) in [
        ("10.0.0.1:15020", "10.0.0.1:8080"),
        ("[fd00::1]:15020", "[fd00::1]:8080"),
        ("shop.example", "shop.example"),
        ("shop.example:80", "shop.example:80"),
    ] {
        let given = HeaderValue::from_static(given);
        let host = host(Some(&given), 15020, 8080).expect("a host");
        assert_eq!(host.to_str().expect("a text"), expected);
    }
    assert_eq!(host(None, 15020, 8080), None);
}

#[test]
fn a_location_is_seen_from_where_it_was_given() {
    let place = "http://10.0.0.1:8080/a/b?c=d".parse().expect("a URL");
    for (location, expected) in [
        ("/e", "http://10.0.0.1:8080/e"),
        ("e?f=g", "http://10.0.0.1:8080/a/e?f=g"),
        ("https://10.0.0.1/e", "https://10.0.0.1/e"),
        ("//10.0.0.2/e", "http://10.0.0.2/e"),
    ] {
        let joined = join(&place, location).map(|url| url.to_string());
        assert_eq!(joined.as_deref(), Some(expected), "{location}");
    }
}
