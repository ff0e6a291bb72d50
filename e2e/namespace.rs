//! Namespaces of one case: made when it begins, deleted when it ends, in whatever way; what is in them
//! is shown when it fails.

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace as Object, Pod};
use kube::api::{DeleteParams, ListParams, LogParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::eventually::eventually;
use crate::exec::{self, Output};
use crate::workload::{self, Workload};
use crate::{cluster, diagnose, mesh};

/// Pods of a case are ready within this many seconds, also when others start theirs.
const READY: u64 = 150;

/// One namespace of a case.
pub struct Namespace {
    pub client: Client,
    pub name: String,
    others: Mutex<Vec<String>>,
}

/// Runs `body` in a fresh namespace whose pods get sidecars.
pub async fn injected(client: &Client, name: &str, body: impl AsyncFnOnce(&Namespace)) {
    within(client, name, json!({"istio-injection": "enabled"}), body).await;
}

/// Runs `body` in a fresh namespace outside the mesh.
pub async fn plain(client: &Client, name: &str, body: impl AsyncFnOnce(&Namespace)) {
    within(client, name, json!({}), body).await;
}

async fn within(client: &Client, name: &str, labels: Value, body: impl AsyncFnOnce(&Namespace)) {
    let namespace = Namespace {
        client: client.clone(),
        name: name.to_owned(),
        others: Mutex::default(),
    };
    make(client, name, labels).await;
    let outcome = AssertUnwindSafe(body(&namespace)).catch_unwind().await;
    let mut names = namespace
        .others
        .lock()
        .map(|names| names.clone())
        .unwrap_or_default();
    names.push(name.to_owned());
    for name in &names {
        if outcome.is_err() {
            diagnose::namespace(client, name).await;
        }
        remove(client, name).await;
    }
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

async fn make(client: &Client, name: &str, labels: Value) {
    // One of an earlier run may still be on its way out.
    let namespaces: Api<Object> = Api::all(client.clone());
    if namespaces
        .get_opt(name)
        .await
        .is_ok_and(|found| found.is_some())
    {
        remove(client, name).await;
        eventually(client, &format!("the old {name} is gone"), 90, || async {
            match namespaces.get_opt(name).await {
                Ok(None) => Ok(()),
                found => Err(format!("{found:?}")),
            }
        })
        .await;
    }
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    cluster::apply(client, object).await.expect("a namespace");
}

async fn remove(client: &Client, name: &str) {
    let namespaces: Api<Object> = Api::all(client.clone());
    match namespaces.delete(name, &DeleteParams::default()).await {
        Ok(_) => {}
        Err(error) if mesh::is_not_found(&error) => {}
        Err(error) => eprintln!("namespace {name} stays: {error}"),
    }
}

impl Namespace {
    /// A second namespace of the same case, which ends with this one.
    pub async fn beside(&self, name: &str, labels: Value) -> Self {
        self.others
            .lock()
            .expect("nothing panics while it is held")
            .push(name.to_owned());
        make(&self.client, name, labels).await;
        self.sibling(name)
    }

    /// The same namespace for a task of its own; it ends with the first.
    pub fn handle(&self) -> Self {
        self.sibling(&self.name)
    }

    /// A namespace that is there already and stays.
    pub fn sibling(&self, name: &str) -> Self {
        Self::existing(&self.client, name)
    }

    /// As [`Namespace::sibling`], for who has none yet.
    pub fn existing(client: &Client, name: &str) -> Self {
        Self {
            client: client.clone(),
            name: name.to_owned(),
            others: Mutex::default(),
        }
    }

    /// `<name>.<this namespace>.svc.cluster.local`
    pub fn host(&self, service: &str) -> String {
        format!("{service}.{}.svc.cluster.local", self.name)
    }

    /// Creates or changes an object in this namespace.
    pub async fn apply(&self, mut object: Value) {
        object["metadata"]["namespace"] = json!(self.name);
        if let Err(error) = cluster::apply(&self.client, object.clone()).await {
            panic!("{}: {error}", object["metadata"]);
        }
    }

    pub async fn delete(&self, api_version: &str, kind: &str, name: &str) {
        let api = cluster::dynamic(&self.client, api_version, kind, Some(&self.name));
        api.delete(name, &DeleteParams::default())
            .await
            .unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Deploys each, with a Service for those that serve, and waits until all are ready.
    pub async fn deploy(&self, workloads: &[Workload]) {
        for workload in workloads {
            self.apply(workload.account()).await;
            if workload.serves() {
                self.apply(workload::service(&workload.app)).await;
            }
            self.apply(workload.deployment()).await;
        }
        for workload in workloads {
            self.rolled_out(&workload.name).await;
        }
    }

    /// Waits until all replicas of the Deployment are those of its present template, and ready.
    pub async fn rolled_out(&self, deployment: &str) -> Duration {
        let api = cluster::dynamic(&self.client, "apps/v1", "Deployment", Some(&self.name));
        let what = format!("{}/{deployment} is rolled out", self.name);
        let (_, took) = eventually(&self.client, &what, READY, || async {
            let object = api
                .get(deployment)
                .await
                .map_err(|error| error.to_string())?;
            let status = &object.data["status"];
            let wanted = object.data["spec"]["replicas"].as_u64();
            let counts = ["replicas", "updatedReplicas", "availableReplicas"];
            let seen = status["observedGeneration"].as_i64() == object.metadata.generation;
            let done = counts
                .iter()
                .all(|count| Some(status[*count].as_u64().unwrap_or(0)) == wanted);
            (seen && done)
                .then_some(())
                .ok_or_else(|| status.to_string())
        })
        .await;
        took
    }

    /// Begins to replace all pods of a Deployment.
    pub async fn restart(&self, deployment: &str) {
        restart(&self.client, &self.name, deployment).await;
    }

    pub async fn scale(&self, deployment: &str, replicas: u32) {
        let api = cluster::dynamic(&self.client, "apps/v1", "Deployment", Some(&self.name));
        let patch = json!({"spec": {"replicas": replicas}});
        api.patch(deployment, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap_or_else(|error| panic!("{deployment}: {error}"));
    }

    /// Pods with this label `app` that do not end, oldest first.
    pub async fn pods_of(&self, app: &str) -> Vec<Pod> {
        self.pods_by("app", app).await
    }

    /// Pods with this label that do not end, oldest first.
    pub async fn pods_by(&self, label: &str, value: &str) -> Vec<Pod> {
        let mut pods = self
            .pods()
            .list(&ListParams::default().labels(&format!("{label}={value}")))
            .await
            .expect("pods can be listed")
            .items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods.sort_by_key(|pod| (pod.creation_timestamp(), pod.name_any()));
        pods
    }

    /// The name of the only pod with this label `app`.
    pub async fn pod_of(&self, app: &str) -> String {
        let pods = self.pods_of(app).await;
        let names: Vec<_> = pods.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names.len(), 1, "pods of {app}: {names:?}");
        names[0].clone()
    }

    /// Runs the sample application's program in the only pod of `app`.
    pub async fn run(&self, app: &str, arguments: &[&str]) -> Result<Output, String> {
        let command: Vec<_> = ["bookinfo"].iter().chain(arguments).copied().collect();
        let pod = self.pod_of(app).await;
        exec::exec(
            &self.pods(),
            &pod,
            workload::CONTAINER,
            &command,
            Duration::from_secs(120),
        )
        .await
    }

    /// What a container of a pod wrote.
    pub async fn log(&self, pod: &str, container: &str) -> String {
        let parameters = LogParams {
            container: Some(container.to_owned()),
            ..LogParams::default()
        };
        self.pods()
            .logs(pod, &parameters)
            .await
            .unwrap_or_else(|error| format!("no log of {pod} {container}: {error}"))
    }
}

/// Begins to replace all pods of a Deployment, as `kubectl rollout restart` does.
pub async fn restart(client: &Client, namespace: &str, deployment: &str) {
    let api = cluster::dynamic(client, "apps/v1", "Deployment", Some(namespace));
    let generation = api
        .get(deployment)
        .await
        .expect("a Deployment")
        .metadata
        .generation;
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {
        "kubectl.kubernetes.io/restartedAt": format!("after generation {}", generation.unwrap_or_default())
    }}}}});
    api.patch(deployment, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap_or_else(|error| panic!("{deployment}: {error}"));
}

/// Whether nothing is left of namespaces that earlier cases deleted.
///
/// # Errors
/// Which one is still there, or why that is not known.
pub async fn none_is_ending(client: &Client) -> Result<(), String> {
    let all = Api::<Object>::all(client.clone())
        .list(&ListParams::default())
        .await
        .map_err(|error| error.to_string())?;
    match all
        .iter()
        .find(|namespace| namespace.metadata.deletion_timestamp.is_some())
    {
        Some(ending) => Err(format!("namespace {} ends", ending.name_any())),
        None => Ok(()),
    }
}
