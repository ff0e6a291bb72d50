//! One IstioOperator as a case writes it, and what its status says.

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::argocd::{self, Health};
use crate::eventually::eventually;
use crate::{cluster, mesh};

/// An IstioOperator of a case.
pub struct Installation {
    client: Client,
    namespace: String,
    name: String,
}

impl Installation {
    pub fn new(client: &Client, namespace: &str, name: &str) -> Self {
        Self {
            client: client.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// That of the sample.
    pub fn sample(client: &Client) -> Self {
        Self::new(client, mesh::NAMESPACE, mesh::NAME)
    }

    pub fn api(&self) -> Api<DynamicObject> {
        let kind = ("install.istio.io/v1alpha1", "IstioOperator");
        cluster::dynamic(&self.client, kind.0, kind.1, Some(&self.namespace))
    }

    /// Creates it, or makes this its specification: what an earlier call said and this one does not is gone.
    pub async fn apply(&self, spec: Value) {
        let object = json!({
            "apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator",
            "metadata": {"name": self.name, "namespace": self.namespace}, "spec": spec,
        });
        cluster::apply(&self.client, object)
            .await
            .expect("the API server takes it");
    }

    /// The status for the present generation, once ArgoCD would show `health` for it and `wanted` holds.
    pub async fn until(
        &self,
        seconds: u64,
        health: Health,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let api = self.api();
        let what = format!("{}/{} is {health:?} as expected", self.namespace, self.name);
        let (status, _) = eventually(&self.client, &what, seconds, || async {
            let object = api
                .get(&self.name)
                .await
                .map_err(|error| error.to_string())?;
            let status = &object.data["status"];
            let current = status["observedGeneration"] == json!(object.metadata.generation);
            let expected = argocd::health(&object.data) == health && wanted(status);
            (current && expected)
                .then(|| status.clone())
                .ok_or_else(|| format!("generation {:?}: {status}", object.metadata.generation))
        })
        .await;
        status
    }

    /// Sets an annotation, or takes it away.
    pub async fn annotate(&self, key: &str, value: Option<&str>) {
        let patch = json!({"metadata": {"annotations": {key: value}}});
        self.api()
            .patch(&self.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .expect("an annotation");
    }

    /// Notes of the Events about it that have this reason.
    pub async fn told(&self, reason: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let all = events.list(&ListParams::default()).await;
        let about = |event: &Event| {
            let object = event.regarding.as_ref();
            object.and_then(|object| object.name.as_ref()) == Some(&self.name)
                && event.reason.as_deref() == Some(reason)
        };
        let all = all.expect("events can be listed").items.into_iter();
        all.filter(about).filter_map(|event| event.note).collect()
    }

    /// Deletes it and waits until it is gone.
    pub async fn delete(&self, seconds: u64) -> Duration {
        self.begin_deletion().await;
        self.gone(seconds).await
    }

    pub async fn begin_deletion(&self) {
        self.api()
            .delete(&self.name, &DeleteParams::default())
            .await
            .expect("it can be deleted");
    }

    /// Waits until it is gone.
    pub async fn gone(&self, seconds: u64) -> Duration {
        let api = self.api();
        let what = format!("{}/{} is gone", self.namespace, self.name);
        let (_, took) = eventually(&self.client, &what, seconds, || async {
            match api.get_opt(&self.name).await {
                Ok(None) => Ok(()),
                Ok(Some(left)) => Err(format!(
                    "{:?}: {}",
                    argocd::health(&left.data),
                    left.data["status"]
                )),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
        took
    }
}

/// The condition of this type.
pub fn condition<'a>(status: &'a Value, type_: &str) -> &'a Value {
    let conditions = status["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|one| one["type"] == type_));
    found.unwrap_or(&Value::Null)
}
