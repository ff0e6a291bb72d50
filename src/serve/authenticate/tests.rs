//! Tokens that are refused at the door, and verdicts of the API server.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewStatus, UserInfo};
use kube::Client;
use serde_json::{Value, json};

use super::token::inspect;
use super::{Authenticate, Credentials, Refusal, TokenProblem, TokenReviewer, judge};

const NOW: i64 = 1_800_000_000;

fn audiences() -> Vec<String> {
    vec!["istio-ca".to_owned()]
}

fn token(claims: &Value) -> String {
    let part = |value: &str| URL_SAFE_NO_PAD.encode(value);
    let header = part(r#"{"alg":"RS256"}"#);
    format!(
        "{header}.{}.{}",
        part(&claims.to_string()),
        part("signature")
    )
}

fn inspected(claims: &Value) -> Result<(), TokenProblem> {
    let now = Timestamp::from_second(NOW).expect("a valid time");
    inspect(&token(claims), &audiences(), now)
}

#[test]
fn a_token_for_our_audience_passes_until_it_expires() {
    for aud in [json!("istio-ca"), json!(["other", "istio-ca"])] {
        assert_eq!(inspected(&json!({"aud": aud, "exp": NOW + 5})), Ok(()));
    }
    // Clocks may differ by a minute.
    let just_expired = json!({"aud": "istio-ca", "exp": NOW - 30});
    assert_eq!(inspected(&just_expired), Ok(()));
    let expired = json!({"aud": "istio-ca", "exp": NOW - 90});
    assert!(matches!(inspected(&expired), Err(TokenProblem::Expired(_))));
}

#[test]
fn a_token_for_others_or_for_ever_is_refused() {
    for claims in [
        json!({"exp": NOW + 5}),
        json!({"aud": ["api"], "exp": NOW + 5}),
    ] {
        assert!(matches!(
            inspected(&claims),
            Err(TokenProblem::WrongAudience { .. })
        ));
    }
    let legacy = json!({"aud": ["istio-ca"]});
    assert_eq!(inspected(&legacy), Err(TokenProblem::NeverExpires));
}

#[test]
fn what_is_no_token_is_refused() {
    let now = Timestamp::from_second(NOW).expect("a valid time");
    let long = "a".repeat(20_000);
    let huge_expiry = token(&json!({"aud": "istio-ca", "exp": 1e300}));
    let list = token(&json!(["istio-ca"]));
    for text in [
        "",
        "a.b",
        "a.b.c.d",
        "a.!.c",
        "..",
        &long,
        &huge_expiry,
        &list,
    ] {
        let refused = inspect(text, &audiences(), now);
        assert_eq!(refused, Err(TokenProblem::NotAToken), "{text}");
    }
}

fn verdict(username: &str) -> TokenReviewStatus {
    TokenReviewStatus {
        authenticated: Some(true),
        audiences: Some(audiences()),
        user: Some(UserInfo {
            username: Some(username.to_owned()),
            groups: Some(vec!["system:serviceaccounts".to_owned()]),
            ..Default::default()
        }),
        error: None,
    }
}

#[test]
fn a_reviewed_service_account_has_its_identity() {
    let status = verdict("system:serviceaccount:shop:reviews");
    let identity = judge(&status, &audiences(), "example.org").expect("recognised");
    assert_eq!(
        identity.spiffe.to_string(),
        "spiffe://example.org/ns/shop/sa/reviews"
    );
}

#[test]
fn a_review_that_does_not_say_yes_to_our_audience_is_a_refusal() {
    let account = "system:serviceaccount:shop:reviews";
    let refused = TokenReviewStatus {
        authenticated: Some(false),
        error: Some("token has been invalidated".to_owned()),
        ..verdict(account)
    };
    let unanswered = TokenReviewStatus {
        authenticated: None,
        ..verdict(account)
    };
    let blind_to_audiences = TokenReviewStatus {
        audiences: None,
        ..verdict(account)
    };
    for status in [refused, unanswered, blind_to_audiences] {
        let error = judge(&status, &audiences(), "example.org").expect_err("refused");
        assert!(matches!(error, Refusal::Rejected(_)), "{error}");
    }
}

#[test]
fn users_and_nodes_are_not_workloads() {
    for name in ["admin", "system:node:a", "system:serviceaccount:shop:"] {
        let error = judge(&verdict(name), &audiences(), "example.org").expect_err("no workload");
        assert!(matches!(error, Refusal::NotAServiceAccount(_)), "{error}");
    }
    let mut groupless = verdict("system:serviceaccount:shop:reviews");
    groupless.user = groupless.user.map(|user| UserInfo {
        groups: None,
        ..user
    });
    assert!(judge(&groupless, &audiences(), "example.org").is_err());
}

#[test]
fn a_caller_is_not_told_why() {
    let refusal = Refusal::Rejected("token has been invalidated".to_owned());
    assert_eq!(refusal.status().message(), "authentication failure");
    assert_eq!(refusal.status().code(), tonic::Code::Unauthenticated);
}

#[tokio::test]
async fn asks_the_api_server_for_plausible_tokens_only() {
    type Request = http::Request<kube::client::Body>;
    type Response = http::Response<kube::client::Body>;
    let (service, mut server) = tower_test::mock::pair::<Request, Response>();
    let reviewer = TokenReviewer {
        client: Client::new(service, "default"),
        audiences: audiences(),
        trust_domain: "cluster.local".to_owned(),
    };
    let reviewer = &reviewer;
    let authorization = |value: String| async move {
        let credentials = Credentials {
            authorization: Some(&value),
        };
        reviewer.authenticate(credentials).await
    };
    // Refused here: the mock would block for ever.
    let junk = authorization("Bearer junk".to_owned()).await;
    assert!(matches!(junk, Err(Refusal::Token(_))));

    let expiry = Timestamp::now().as_second() + 600;
    let good = token(&json!({"aud": ["istio-ca"], "exp": expiry}));
    let answer = async {
        let (request, send) = server.next_request().await.expect("a review");
        assert_eq!(
            request.uri().path(),
            "/apis/authentication.k8s.io/v1/tokenreviews"
        );
        let body = request.into_body().collect_bytes().await.expect("a body");
        let review: TokenReview = serde_json::from_slice(&body).expect("a TokenReview");
        assert_eq!(review.spec.audiences, Some(audiences()));
        let answer = TokenReview {
            status: Some(verdict("system:serviceaccount:shop:reviews")),
            ..review
        };
        let body = serde_json::to_vec(&answer).expect("serializable");
        send.send_response(Response::new(kube::client::Body::from(body)));
    };
    let (identity, ()) = tokio::join!(authorization(format!("Bearer {good}")), answer);
    let identity = identity.expect("recognised");
    assert_eq!(identity.spiffe.namespace, "shop");
}
