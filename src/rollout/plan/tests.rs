//! A plan is what a dry run answers.

use http::{Request, Response};
use install::Object;
use kube::Client;
use kube::api::DynamicObject;
use kube::client::Body;
use serde_json::{Value, json};

use super::{Plan, plan};
use crate::kind::KINDS;
use crate::{Error, Live};

fn config_map(mesh: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "mesh", "uid": "u", "resourceVersion": "5"},
        "data": {"mesh": mesh}})
}

fn missing(kind: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
        "message": "not found", "reason": "NotFound", "details": {"name": "mesh", "kind": kind}});
    (404, status)
}

/// Plans an apply of the ConfigMap against these answers; returns the requests.
async fn against(
    answers: Vec<(u16, Value)>,
    remove: Vec<Live>,
) -> (Result<Plan, Error>, Vec<String>) {
    let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let client = Client::new(service, "default");
    let server = tokio::spawn(async move {
        let mut handle = std::pin::pin!(handle);
        let mut asked = Vec::new();
        for (code, body) in answers {
            let (request, send) = handle.next_request().await.expect("a request");
            asked.push(format!("{} {}", request.method(), request.uri()));
            let answer = Response::builder()
                .status(code)
                .body(Body::from(body.to_string().into_bytes()))
                .expect("a response");
            send.send_response(answer);
        }
        asked
    });
    let objects: Vec<Object> = match remove.is_empty() {
        true => vec![Object::from_value(config_map("new"))],
        false => Vec::new(),
    };
    let spared = |_: &_, standing: &DynamicObject| {
        (standing.data["data"]["mesh"] == "foreign").then(|| "was made by kubectl".to_owned())
    };
    let result = plan(&client, &objects, &remove, spared).await;
    drop(client);
    (result, server.await.expect("the server ran"))
}

fn told(plan: &Plan) -> Vec<String> {
    plan.objects.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_change_names_its_fields_and_writes_nothing() {
    let answers = vec![(200, config_map("old")), (200, config_map("new"))];
    let (result, asked) = against(answers, Vec::new()).await;
    let expected = ["change configmap mesh/istio: data.mesh from \"old\" to \"new\""];
    assert_eq!(told(&result.expect("a plan")), expected);
    assert!(asked[0].starts_with("GET "), "{asked:?}");
    assert!(asked[1].contains("dryRun=All"), "{asked:?}");
}

#[tokio::test]
async fn what_stays_is_left_out() {
    let mut answer = config_map("same");
    answer["metadata"]["managedFields"] = json!([]);
    let answers = vec![(200, config_map("same")), (200, answer)];
    let (result, _) = against(answers, Vec::new()).await;
    assert_eq!(result.expect("a plan"), Plan::default());
}

#[tokio::test]
async fn an_object_of_a_namespace_to_come_is_created() {
    let answers = vec![missing("configmaps"), missing("namespaces")];
    let (result, _) = against(answers, Vec::new()).await;
    assert_eq!(
        told(&result.expect("a plan")),
        ["create configmap mesh/istio"]
    );
}

#[tokio::test]
async fn a_binding_whose_role_is_to_come_is_created() {
    // The API server compares the rights of a role with those of who binds it, so it looks for the role first.
    let answers = vec![missing("configmaps"), missing("clusterrolebindings")];
    let (result, _) = against(answers, Vec::new()).await;
    assert_eq!(
        told(&result.expect("a plan")),
        ["create configmap mesh/istio"]
    );
}

#[tokio::test]
async fn what_the_api_server_refuses_is_part_of_the_plan() {
    let denied = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
        "message": "no", "reason": "Forbidden"});
    let answers = vec![(200, config_map("old")), (403, denied)];
    let (result, _) = against(answers, Vec::new()).await;
    assert_eq!(
        told(&result.expect("a plan")),
        ["refuse configmap mesh/istio: no"]
    );
}

#[tokio::test]
async fn what_is_spared_is_not_asked_about() {
    let (result, asked) = against(vec![(200, config_map("foreign"))], Vec::new()).await;
    let expected = ["refuse configmap mesh/istio: was made by kubectl"];
    assert_eq!(told(&result.expect("a plan")), expected);
    assert_eq!(asked.len(), 1, "{asked:?}");
}

#[tokio::test]
async fn what_goes_is_told() {
    let kind = KINDS.iter().find(|kind| kind.kind == "ConfigMap");
    let map: DynamicObject = serde_json::from_value(config_map("old")).expect("an object");
    let live = Live::of(kind.expect("a kind"), &map.metadata, &map.data);
    let (result, _) = against(vec![(200, config_map("old"))], vec![live]).await;
    assert_eq!(
        told(&result.expect("a plan")),
        ["remove configmap mesh/istio"]
    );
}
