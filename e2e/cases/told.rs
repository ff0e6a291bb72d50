//! What people are told on their own objects.

mod dashboards;
mod proxy;
mod replicas;

use e2e::{cluster, eventually::eventually, mesh};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

fn condition(object: &Value) -> Option<&Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|one| one["type"] == "Programmed")
}

/// A condition that no longer holds, as a leader before this one may have left it, is cleared by itself, while
/// conditions of others stay; and an object that nothing was ever wrong with gets none.
#[tokio::test]
async fn a_condition_that_no_longer_holds_is_cleared() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let entries = cluster::dynamic(
        &client,
        "networking.istio.io/v1",
        "ServiceEntry",
        Some("default"),
    );
    for name in ["told-before", "told-nothing"] {
        let entry = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"hosts": [format!("{name}.example.com")], "exportTo": ["."], "resolution": "STATIC",
                "endpoints": [{"address": "192.0.2.1"}],
                "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]}
        });
        cluster::apply(&client, entry).await.expect("an entry");
    }
    let stale = json!({"status": {"conditions": [
        {"type": "Programmed", "status": "False", "reason": "Invalid", "message": "long ago", "observedGeneration": 1},
        {"type": "OfOthers", "status": "True"},
    ]}});
    entries
        .patch_status("told-before", &PatchParams::default(), &Patch::Merge(stale))
        .await
        .expect("a status");
    let (object, _) = eventually(&client, "a condition that is cleared", 60, || async {
        let object = entries.get("told-before").await;
        let object = object.map_err(|error| error.to_string())?;
        match condition(&object.data) {
            Some(found) if found["status"] == "True" => Ok(object),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let found = condition(&object.data).expect("carried");
    assert_eq!(found["observedGeneration"], 1);
    assert_eq!(found["message"], "");
    let conditions = object.data["status"]["conditions"].as_array();
    assert_eq!(conditions.map(Vec::len), Some(2), "{:?}", object.data);
    let other = entries.get("told-nothing").await.expect("it exists");
    assert_eq!(condition(&other.data), None);
    for name in ["told-before", "told-nothing"] {
        let deleted = entries.delete(name, &DeleteParams::default()).await;
        deleted.expect("deleted");
    }
}
