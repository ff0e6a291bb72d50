//! Whether the validating webhook was seen to work: the API server, asked to create an object that the webhook
//! always refuses, told that it did. Only then may objects be refused because the webhook does not answer; a
//! control plane that has just been installed would otherwise lock out its own configuration. Nothing is stored: the
//! request is a dry run.

use std::future::Future;
use std::time::Duration;

use kube::api::{Api, DynamicObject, PostParams};
use kube::core::ApiResource;
use kube::{Client, Error};
use serde_json::json;
use serve::Shutdown;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, info};

/// For one request.
const CALL: Duration = Duration::from_secs(15);
/// First and longest pause between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// Whether it was seen; never false again.
pub type Works = watch::Receiver<bool>;

/// Looks until it was seen, or until `shutdown`. `namespace` is the control plane's, `revision` its own.
pub fn watch_for_refusal(
    client: Client,
    namespace: &str,
    revision: &str,
    shutdown: Shutdown,
) -> (Works, impl Future<Output = ()> + use<>) {
    let (sender, works) = watch::channel(false);
    let object = refused_always(namespace, revision);
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &gateways());
    let looking = async move {
        let look = async {
            until_refused(&api, &object).await;
            sender.send_replace(true);
            sender.closed().await;
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = look => shutdown.cancelled().await,
        }
    };
    (works, looking)
}

async fn until_refused(api: &Api<DynamicObject>, object: &DynamicObject) {
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut pause = PAUSES.0;
    loop {
        let created = timeout(CALL, api.create(&params, object)).await;
        let answer = match created {
            Ok(Ok(_)) => Err("the object was admitted".to_owned()),
            Ok(Err(error)) => judge(&error),
            Err(_) => Err("no answer in time".to_owned()),
        };
        match answer {
            Ok(why) => {
                info!(
                    "objects are refused from now on when the validating webhook does not answer: {why}"
                );
                return;
            }
            Err(why) => debug!("the validating webhook was not seen to work yet: {why}"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// What an answer of the API server proves, or why it proves nothing.
fn judge(error: &Error) -> Result<&'static str, String> {
    let Error::Api(status) = error else {
        return Err(error.to_string());
    };
    let message = &status.message;
    if message.contains("denied the request") && message.contains("validation.istio.io") {
        Ok("it refused an object that it always refuses")
    } else if status.code == 404 && message.contains("could not find the requested resource") {
        Ok("there is no kind Gateway to try it with")
    } else if message.contains("does not support dry run") {
        Ok("another webhook hinders trying it")
    } else {
        Err(message.clone())
    }
}

fn gateways() -> ApiResource {
    ApiResource {
        group: "networking.istio.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "networking.istio.io/v1".to_owned(),
        kind: "Gateway".to_owned(),
        plural: "gateways".to_owned(),
    }
}

/// A Gateway of right form that every validating webhook of Istio refuses; the label is what the webhook of a
/// revision is asked about.
fn refused_always(namespace: &str, revision: &str) -> DynamicObject {
    let object = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {
            "name": "invalid-gateway",
            "namespace": namespace,
            "labels": {"istio.io/rev": revision},
            "annotations": {"internal.istio.io/webhook-always-reject": "true"},
        },
        "spec": {
            "servers": [{"hosts": ["*"], "port": {"number": 80, "name": "http", "protocol": "HTTP"}}],
        },
    });
    serde_json::from_value(object).expect("it has a type and metadata")
}

#[cfg(test)]
mod tests {
    use http::{Request, Response, StatusCode};
    use kube::client::Body;
    use kube::core::Status;
    use kube::{Client, Error};
    use serde_json::{Value, json};
    use serve::Shutdown;
    use tower_test::mock;

    use super::{judge, refused_always, watch_for_refusal};

    fn refusal(code: u16, message: &str) -> Error {
        Error::Api(Box::new(Status {
            code,
            message: message.to_owned(),
            ..Status::default()
        }))
    }

    #[test]
    fn only_a_denial_of_istios_webhook_proves_that_it_works() {
        for (code, message, works) in [
            (
                400,
                "admission webhook \"rev.validation.istio.io\" denied the request: configuration is invalid",
                true,
            ),
            (
                403,
                "admission webhook \"validation.istio.io\" denied the request: no",
                true,
            ),
            (
                403,
                "admission webhook \"other.example.com\" denied the request: no",
                false,
            ),
            (
                404,
                "the server could not find the requested resource",
                true,
            ),
            (404, "namespaces \"istio-system\" not found", false),
            (
                400,
                "admission webhook \"a\" does not support dry run",
                true,
            ),
            (
                500,
                "failed calling webhook \"rev.validation.istio.io\": connection refused",
                false,
            ),
            (403, "gateways is forbidden", false),
            (
                422,
                "Gateway is invalid: spec.servers: Required value",
                false,
            ),
        ] {
            assert_eq!(judge(&refusal(code, message)).is_ok(), works, "{message}");
        }
        assert!(judge(&Error::Service("gone".into())).is_err());
    }

    #[test]
    fn the_object_that_is_tried_is_refused_for_its_annotation_only() {
        let object = serde_json::to_value(refused_always("istio-system", "canary")).expect("JSON");
        let problems = validate::object(&object);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].field.contains("annotations"), "{problems:?}");
        assert_eq!(object["metadata"]["labels"]["istio.io/rev"], "canary");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_tried_until_the_webhook_refuses() {
        let (service, mut server) = mock::pair::<Request<Body>, Response<Body>>();
        let client = Client::new(service, "istio-system");
        let shutdown = Shutdown::new();
        let (mut works, looking) =
            watch_for_refusal(client, "istio-system", "default", shutdown.clone());
        let looking = tokio::spawn(looking);
        let unreachable = json!({"kind": "Status", "code": 500, "reason": "InternalError",
            "status": "Failure", "message": "failed calling webhook"});
        let denied = json!({"kind": "Status", "code": 403, "reason": "Forbidden", "status": "Failure",
            "message": "admission webhook \"rev.validation.istio.io\" denied the request: no"});
        for (code, body) in [(500, &unreachable), (500, &unreachable), (403, &denied)] {
            assert!(!*works.borrow());
            let (request, answer) = server.next_request().await.expect("an attempt");
            let query = request.uri().query().unwrap_or_default();
            assert!(query.contains("dryRun=All"), "{query}");
            let sent = request.into_body().collect_bytes().await.expect("a body");
            let sent: Value = serde_json::from_slice(&sent).expect("JSON");
            assert_eq!(sent["kind"], "Gateway");
            let mut response = Response::new(Body::from(body.to_string().into_bytes()));
            *response.status_mut() = StatusCode::from_u16(code).expect("a code");
            answer.send_response(response);
        }
        works.wait_for(|works| *works).await.expect("seen");
        shutdown.cancel();
        looking.await.expect("it ends");
    }
}
