//! Tokens that are refused at the door, and verdicts of the API server.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewStatus, UserInfo};
use kube::Client;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::review::judge;
use super::token::inspect;
use super::{
    Authenticate, ClientCertificate, Credentials, Identity, Metrics, REMEMBERED, Refusal,
    TokenProblem, TokenReviewer, Workloads,
};

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

#[test]
fn a_damaged_token_is_refused_without_asking() {
    let now = Timestamp::from_second(NOW).expect("a valid time");
    let good = token(&json!({"aud": ["istio-ca"], "exp": NOW + 60}));
    assert_eq!(inspect(&good, &audiences(), now), Ok(()));
    let payload = good.find('.').expect("parts")..good.rfind('.').expect("parts");
    for at in payload.clone() {
        assert!(
            inspect(&good[..at], &audiences(), now).is_err(),
            "cut at {at}"
        );
        for byte in ['.', '-', '=', '!', '\u{0}'] {
            let mut damaged = good.clone();
            damaged.replace_range(at..=at, &byte.to_string());
            // Another text of the same meaning may still be reviewed; nothing may panic.
            let _ = inspect(&damaged, &audiences(), now);
        }
    }
    let deep = "[".repeat(4_000) + &"]".repeat(4_000);
    for claims in [
        deep.as_str(),
        "{\"aud\": 7}",
        "{\"exp\": \"soon\"}",
        "null",
        "{\"exp\": 1e999}",
    ] {
        let text = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        assert!(inspect(&text, &audiences(), now).is_err(), "{claims:.20}");
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

type ApiServer =
    tower_test::mock::Handle<http::Request<kube::client::Body>, http::Response<kube::client::Body>>;

fn reviewer() -> (TokenReviewer, ApiServer, Registry) {
    let (service, server) = tower_test::mock::pair();
    let client = Client::new(service, "default");
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let reviewer = TokenReviewer::new(client, audiences(), "cluster.local".to_owned(), metrics);
    (reviewer, server, registry)
}

/// Answers one review as `status` says.
async fn review(server: &mut ApiServer, status: TokenReviewStatus) {
    let (request, send) = server.next_request().await.expect("a review");
    assert_eq!(
        request.uri().path(),
        "/apis/authentication.k8s.io/v1/tokenreviews"
    );
    let body = request.into_body().collect_bytes().await.expect("a body");
    let review: TokenReview = serde_json::from_slice(&body).expect("a TokenReview");
    assert_eq!(review.spec.audiences, Some(audiences()));
    let answer = TokenReview {
        status: Some(status),
        ..review
    };
    let body = serde_json::to_vec(&answer).expect("serializable");
    send.send_response(http::Response::new(kube::client::Body::from(body)));
}

async fn ask(reviewer: &TokenReviewer, authorization: &str) -> Result<Identity, Refusal> {
    let credentials = Credentials {
        authorization: Some(authorization),
        ..Credentials::default()
    };
    reviewer.authenticate(credentials).await
}

fn good() -> String {
    let expiry = Timestamp::now().as_second() + 600;
    let token = token(&json!({"aud": ["istio-ca"], "exp": expiry}));
    format!("Bearer {token}")
}

#[tokio::test]
async fn asks_the_api_server_for_plausible_tokens_only() {
    let (reviewer, mut server, _) = reviewer();
    // Refused here: the mock would block for ever.
    let junk = ask(&reviewer, "Bearer junk").await;
    assert!(matches!(junk, Err(Refusal::Token(_))));

    let good = good();
    let answer = review(&mut server, verdict("system:serviceaccount:shop:reviews"));
    let (identity, ()) = tokio::join!(ask(&reviewer, &good), answer);
    assert_eq!(identity.expect("recognised").spiffe.namespace, "shop");
}

#[tokio::test]
async fn a_thousand_requests_with_one_token_make_one_review() {
    let (reviewer, mut server, registry) = reviewer();
    let good = good();
    let crowd = futures::future::join_all((0..1000).map(|_| ask(&reviewer, &good)));
    let answer = review(&mut server, verdict("system:serviceaccount:shop:reviews"));
    let (answers, ()) = tokio::join!(crowd, answer);
    assert_eq!(answers.len(), 1000);
    assert!(answers.iter().all(Result::is_ok));
    let text = crate::metrics::render(&registry);
    for sample in [
        "pilot_token_reviews 1\n",
        "pilot_token_reviews_remembered 999\n",
    ] {
        assert!(text.contains(sample), "{sample} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_refused_after_two_minutes() {
    let (reviewer, mut server, _) = reviewer();
    let good = good();
    let answer = review(&mut server, verdict("system:serviceaccount:shop:reviews"));
    let (first, ()) = tokio::join!(ask(&reviewer, &good), answer);
    assert!(first.is_ok());
    tokio::time::advance(REMEMBERED - std::time::Duration::from_secs(1)).await;
    assert!(ask(&reviewer, &good).await.is_ok(), "remembered");

    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    let revoked = TokenReviewStatus {
        authenticated: Some(false),
        ..verdict("")
    };
    let (after, ()) = tokio::join!(ask(&reviewer, &good), review(&mut server, revoked));
    assert!(matches!(after, Err(Refusal::Rejected(_))), "{after:?}");
}

#[tokio::test]
async fn a_refusal_is_shared_by_who_waits_and_then_forgotten() {
    let (reviewer, mut server, _) = reviewer();
    let good = good();
    let refused = TokenReviewStatus {
        authenticated: Some(false),
        ..verdict("")
    };
    let both = futures::future::join(ask(&reviewer, &good), ask(&reviewer, &good));
    let ((first, second), ()) = tokio::join!(both, review(&mut server, refused));
    assert!(first.is_err() && second.is_err());
    let answer = review(&mut server, verdict("system:serviceaccount:shop:reviews"));
    let (again, ()) = tokio::join!(ask(&reviewer, &good), answer);
    assert!(again.is_ok(), "{again:?}");
}

#[tokio::test]
async fn who_gives_up_leaves_the_question_to_the_next() {
    let (reviewer, mut server, _) = reviewer();
    let good = good();
    {
        let mut gives_up = std::pin::pin!(ask(&reviewer, &good));
        assert!(futures::poll!(&mut gives_up).is_pending());
    }
    let answer = review(&mut server, verdict("system:serviceaccount:shop:reviews"));
    let (answered, ()) = tokio::join!(ask(&reviewer, &good), answer);
    assert!(answered.is_ok(), "{answered:?}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_is_not_waited_for_without_end() {
    let (reviewer, _server, _) = reviewer();
    let refusal = ask(&reviewer, &good()).await.expect_err("no answer");
    assert_eq!(refusal.status().code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn what_a_proxy_in_between_says_of_the_caller_is_not_read() {
    let (token, _server, registry) = reviewer();
    let workloads = Workloads {
        certificate: ClientCertificate {
            trust_domain: "cluster.local".to_owned(),
        },
        metrics: token.metrics.clone(),
        token,
    };
    let mut metadata = tonic::metadata::MetadataMap::new();
    let forged =
        "By=spiffe://cluster.local/ns/a/sa/b;URI=spiffe://cluster.local/ns/istio-system/sa/istiod";
    metadata.insert("x-forwarded-client-cert", forged.parse().expect("text"));
    let extensions = tonic::Extensions::new();
    let credentials = Credentials::of(&metadata, &extensions);
    let refusal = workloads.authenticate(credentials).await;
    assert!(
        matches!(refusal, Err(Refusal::NoCredentials)),
        "{refusal:?}"
    );
    let text = crate::metrics::render(&registry);
    let sample = "pilot_authentication_failures{reason=\"no_credentials\"} 1\n";
    assert!(text.contains(sample), "{text}");
}
