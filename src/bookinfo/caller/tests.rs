use hyper::HeaderMap;

use super::identity;

#[test]
fn the_nearest_proxy_says_who_called() {
    let mut headers = HeaderMap::new();
    assert_eq!(identity(&headers), None);
    let element = |caller: &str| {
        format!(
            "By=spiffe://cluster.local/ns/a/sa/me;Hash=0a;Subject=\"\";URI=spiffe://cluster.local/ns/a/sa/{caller}"
        )
    };
    let chain = format!("{},{}", element("gateway"), element("page"));
    headers.insert("x-forwarded-client-cert", chain.parse().unwrap());
    assert_eq!(
        identity(&headers),
        Some("spiffe://cluster.local/ns/a/sa/page")
    );
}

#[test]
fn a_certificate_without_identity_names_nobody() {
    let mut headers = HeaderMap::new();
    headers.insert(
        "x-forwarded-client-cert",
        "Hash=0a;Subject=\"CN=x\"".parse().unwrap(),
    );
    assert_eq!(identity(&headers), None);
}
