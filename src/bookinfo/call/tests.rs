use super::Target;

#[test]
fn a_url_gives_address_authority_and_path() {
    for (url, address, authority, path) in [
        (
            "http://reviews:9080/reviews/0?x=1",
            "reviews:9080",
            "reviews:9080",
            "/reviews/0?x=1",
        ),
        ("http://reviews", "reviews:80", "reviews", "/"),
        ("http://[::1]:8080", "[::1]:8080", "[::1]:8080", "/"),
    ] {
        let target = Target::parse(url).unwrap();
        assert_eq!(
            (
                target.address.as_str(),
                target.authority.to_str().unwrap(),
                target.path.as_str()
            ),
            (address, authority, path)
        );
    }
}

#[test]
fn other_schemes_and_texts_are_refused() {
    for url in [
        "https://reviews",
        "reviews:9080",
        "/path",
        "http://",
        "",
        "http://me:secret@reviews/",
    ] {
        assert!(Target::parse(url).is_err(), "{url}");
    }
}
