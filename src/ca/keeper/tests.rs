//! Creation against an API server in which another process may be first.

use http::{Method, Request, Response, StatusCode};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use kube::client::Body;
use pki::OffsetDateTime;
use serde_json::json;
use tower_test::mock;

use super::{CreateError, write};
use crate::secret::Step;
use crate::{Root, Settings};

fn answer(status: StatusCode, body: &impl serde::Serialize) -> Response<Body> {
    let body = serde_json::to_vec(body).expect("serializable");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
}

fn settings(client: Client) -> Settings {
    Settings {
        client,
        namespace: "istio-system".to_owned(),
        trust_domain: "example.org".to_owned(),
        identity: "istiod-1".to_owned(),
    }
}

#[tokio::test]
async fn the_loser_of_a_race_takes_the_winners_secret() {
    let (service, mut server) = mock::pair::<Request<Body>, Response<Body>>();
    let settings = settings(Client::new(service, "istio-system"));
    let api: Api<Secret> = Api::namespaced(settings.client.clone(), "istio-system");
    let winners = Root::generate("example.org", OffsetDateTime::now_utc()).expect("a root");
    let winners = winners.to_secret("istio-system");
    let serve = async {
        let (request, send) = server.next_request().await.expect("a creation");
        assert_eq!(request.method(), Method::POST);
        let conflict = json!({"kind": "Status", "status": "Failure", "reason": "AlreadyExists",
            "message": "exists", "code": 409});
        send.send_response(answer(StatusCode::CONFLICT, &conflict));
        let (request, send) = server.next_request().await.expect("a read");
        assert_eq!(request.method(), Method::GET);
        let path = "/api/v1/namespaces/istio-system/secrets/istio-ca-secret";
        assert_eq!(request.uri().path(), path);
        send.send_response(answer(StatusCode::OK, &winners));
    };
    let (stored, ()) = tokio::join!(write(&api, &settings, Step::Create), serve);
    assert_eq!(stored.expect("adopted").data, winners.data);
}

#[tokio::test]
async fn a_refusal_is_an_error_and_nothing_is_read_instead() {
    let (service, mut server) = mock::pair::<Request<Body>, Response<Body>>();
    let settings = settings(Client::new(service, "istio-system"));
    let api: Api<Secret> = Api::namespaced(settings.client.clone(), "istio-system");
    let root = Root::generate("example.org", OffsetDateTime::now_utc()).expect("a root");
    let serve = async {
        let (_, send) = server.next_request().await.expect("a creation");
        let forbidden = json!({"kind": "Status", "status": "Failure", "reason": "Forbidden",
            "message": "no", "code": 403});
        send.send_response(answer(StatusCode::FORBIDDEN, &forbidden));
    };
    let restore = Step::Restore(std::sync::Arc::new(root));
    let (stored, ()) = tokio::join!(write(&api, &settings, restore), serve);
    assert!(matches!(stored, Err(CreateError::Api(_))), "{stored:?}");
}
