use hyper::HeaderMap;
use hyper::header::COOKIE;
use serde_json::json;

use super::html::{View, page};
use super::{login, outgoing};
use crate::identity::Identity;

fn identity() -> Identity {
    Identity {
        pod: "productpage-v1-x".to_owned(),
        version: "v1".to_owned(),
    }
}

#[test]
fn a_failed_backend_is_said_on_the_page_and_the_other_is_shown() {
    let reviews = json!({"pod": "reviews-v3-y", "version": "v3", "reviews": [
        {"reader": "Ada", "text": "good", "rating": {"stars": 4, "colour": "red"}},
        {"reader": "Bruno", "text": "wet", "rating": {"error": "ratings answered 503: x"}},
    ]});
    let text = page(&View {
        user: None,
        details: Err("details cannot be reached: timeout"),
        reviews: Ok(&reviews),
        identity: &identity(),
    });
    for part in [
        "details cannot be reached: timeout",
        "stars red",
        "★★★★☆",
        "ratings answered 503: x",
        "reviews-v3-y",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn nothing_from_elsewhere_becomes_markup() {
    let hostile = json!({"author": "<script>", "pod": "\"><b>", "version": "&"});
    let text = page(&View {
        user: Some("<i>"),
        details: Ok(&hostile),
        reviews: Err("<img>"),
        identity: &identity(),
    });
    for part in ["<script>", "<i>", "<img>", "\"><b>"] {
        assert!(!text.contains(part), "{part} is in {text}");
    }
}

#[test]
fn who_is_logged_in_is_told_to_the_backends() {
    let mut incoming = HeaderMap::new();
    incoming.insert(COOKIE, "a=b; user=ada".parse().unwrap());
    incoming.insert("end-user", "forged".parse().unwrap());
    assert_eq!(outgoing(&incoming)["end-user"], "ada");
}

#[test]
fn a_name_that_would_need_escaping_cannot_log_in() {
    assert_eq!(login(b"username=ada").status, 303);
    for form in [
        "",
        "username=",
        "username=a%3Bb",
        "username=a;b",
        "username=a b",
        "other=ada",
    ] {
        assert_eq!(login(form.as_bytes()).status, 400, "{form}");
    }
}
