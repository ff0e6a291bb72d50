//! Who may claim a Lease, and what a claim says.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Client;
use serde_json::json;

use super::{Candidate, DURATION, RENEW_DEADLINE, claim, may_claim, stand};
use crate::Shutdown;

fn held_by(holder: &str) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(15),
        lease_transitions: Some(4),
        ..Default::default()
    }
}

#[test]
fn a_lease_without_holder_is_free() {
    assert!(may_claim(&LeaseSpec::default(), "a", Duration::ZERO));
    assert!(may_claim(&held_by(""), "a", Duration::ZERO));
}

#[test]
fn anothers_lease_is_free_once_it_stayed_unchanged_for_its_duration() {
    let lease = held_by("b");
    assert!(!may_claim(&lease, "a", Duration::from_secs(14)));
    assert!(may_claim(&lease, "a", Duration::from_secs(15)));
}

#[test]
fn the_holder_may_always_renew() {
    assert!(may_claim(&held_by("a"), "a", Duration::ZERO));
}

#[test]
fn a_transition_is_counted_when_the_holder_changes_only() {
    let transitions = |previous: Option<&LeaseSpec>| claim("a", previous).lease_transitions;
    assert_eq!(transitions(None), Some(0));
    assert_eq!(transitions(Some(&held_by("a"))), Some(4));
    assert_eq!(transitions(Some(&held_by("b"))), Some(5));
}

#[test]
fn a_renewal_keeps_the_time_of_acquisition() {
    let first = claim("a", None);
    let second = claim("a", Some(&first));
    assert_eq!(first.acquire_time, second.acquire_time);
    assert!(first.renew_time < second.renew_time);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_gets_no_answer_steps_down_before_others_may_take_over() {
    type Request = http::Request<kube::client::Body>;
    type Response = http::Response<kube::client::Body>;
    let (service, mut server) = tower_test::mock::pair::<Request, Response>();
    let candidate = Candidate {
        namespace: "istio-system".to_owned(),
        lease: "a-lease".to_owned(),
        identity: "a".to_owned(),
    };
    let client = Client::new(service, "default");
    let shutdown = Shutdown::new();
    let (mut leadership, task) = stand(client, candidate, shutdown.clone());

    // There is no Lease yet; ours is accepted.
    let (request, send) = server.next_request().await.expect("a read");
    assert_eq!(request.method(), http::Method::GET);
    let missing = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
    let answer = Response::new(kube::client::Body::from(missing.to_string().into_bytes()));
    let (mut head, body) = answer.into_parts();
    head.status = http::StatusCode::NOT_FOUND;
    send.send_response(Response::from_parts(head, body));
    let (request, send) = server.next_request().await.expect("a claim");
    assert_eq!(request.method(), http::Method::POST);
    let claimed = request.into_body().collect_bytes().await.expect("a body");
    let lease: Lease = serde_json::from_slice(&claimed).expect("a Lease");
    let holder = lease.spec.expect("a spec").holder_identity;
    assert_eq!(holder.as_deref(), Some("a"));
    send.send_response(Response::new(kube::client::Body::from(claimed.to_vec())));
    leadership.wait_for(|leads| *leads).await.expect("elected");

    // From now on the API server is silent. Time is simulated.
    let elected = tokio::time::Instant::now();
    leadership
        .wait_for(|leads| !leads)
        .await
        .expect("stepped down");
    let held = elected.elapsed();
    assert!(
        held <= RENEW_DEADLINE && RENEW_DEADLINE < DURATION,
        "{held:?}"
    );
    shutdown.cancel();
    task.await.expect("the candidate ends");
}
