//! Facts of relations that no single resource shows.

use crate::{Protocol, Visibility, covers, resolve, subset_of};

#[test]
fn wildcards_stand_for_longer_names_only() {
    assert!(subset_of("a.example.com", "*.example.com"));
    assert!(subset_of("*.a.example.com", "*.example.com"));
    assert!(!subset_of("example.com", "*.example.com"));
    assert!(!subset_of("*.example.com", "a.example.com"));
    assert!(covers("*.example.com", "a.example.com"));
}

#[test]
fn short_names_belong_to_their_namespace() {
    let full = resolve("reviews", "shop", "cluster.local");
    assert_eq!(full, "reviews.shop.svc.cluster.local");
    assert_eq!(
        resolve("reviews.bank", "shop", "cluster.local"),
        "reviews.bank"
    );
}

#[test]
fn the_protocol_stands_before_the_dash_or_in_the_app_protocol() {
    for (number, name, app, expected) in [
        (80, "http-web", None, Protocol::Http),
        (80, "grpc-web-ui", None, Protocol::GrpcWeb),
        (80, "httpx", None, Protocol::Unsupported),
        (3306, "", None, Protocol::Tcp),
        (7001, "tcp", Some("kubernetes.io/h2c"), Protocol::Http2),
        (7003, "http", Some("tcp"), Protocol::Tcp),
    ] {
        assert_eq!(
            Protocol::of_port(number, name, app),
            expected,
            "{number} {name}"
        );
    }
}

#[test]
fn export_to_dot_is_the_own_namespace() {
    let of = |list: &[&str]| {
        let list: Vec<String> = list.iter().map(|entry| (*entry).to_owned()).collect();
        Visibility::of(&list, &["*".to_owned()], "shop")
    };
    assert!(of(&[]).includes("bank"));
    assert!(of(&["."]).includes("shop") && !of(&["."]).includes("bank"));
    assert!(!of(&["~"]).includes("shop"));
    assert!(of(&["bank"]).includes("bank"));
}
