//! Which workload a pod belongs to, as far as the pod itself tells.

use serde_json::Value;

use crate::pod::{label, metadata};

/// A workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// `apps/v1`; empty when it is not known.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// Its name; empty when it is not known.
    pub name: String,
    /// Its namespace; empty when it is not known.
    pub namespace: String,
}

impl Owner {
    /// The workload that made a pod: a controller that names its pods, and above a ReplicaSet or Job the
    /// Deployment, Rollout or CronJob that their names tell; otherwise the pod itself.
    pub fn of_pod(pod: &Value, namespace: &str) -> Self {
        let mut owner = Owner {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: metadata(pod, "name").to_owned(),
            namespace: namespace.to_owned(),
        };
        let references = pod
            .pointer("/metadata/ownerReferences")
            .and_then(Value::as_array);
        let controller = references
            .into_iter()
            .flatten()
            .find(|reference| reference.get("controller") == Some(&Value::Bool(true)));
        let Some(controller) = controller.filter(|_| !metadata(pod, "generateName").is_empty())
        else {
            return owner;
        };
        let field = |name: &str| {
            controller
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (kind, name) = (field("kind"), field("name"));
        owner.api_version = field("apiVersion").to_owned();
        let (above, called) = match kind {
            "ReplicaSet" => {
                let hashed = |hash: &str| name.strip_suffix(label(pod, hash)?)?.strip_suffix('-');
                if let Some(called) = hashed("pod-template-hash") {
                    ("Deployment", called)
                } else if let Some(called) = hashed("rollouts-pod-template-hash") {
                    owner.api_version = "v1alpha1".to_owned();
                    ("Rollout", called)
                } else {
                    (kind, name)
                }
            }
            "ReplicationController" => match label(pod, "deploymentconfig") {
                Some(config) if !config.is_empty() => ("DeploymentConfig", config),
                _ => (kind, name),
            },
            "Job" => match cron_job(name) {
                Some(called) => {
                    owner.api_version = "batch/v1".to_owned();
                    ("CronJob", called)
                }
                None => (kind, name),
            },
            _ => (kind, name),
        };
        owner.kind = above.to_owned();
        if !called.is_empty() {
            owner.name = called.to_owned();
        }
        owner
    }
}

/// A CronJob names its jobs by the minute: 8 to 10 digits.
fn cron_job(job: &str) -> Option<&str> {
    let (name, minute) = job.rsplit_once('-')?;
    let is_minute =
        (8..=10).contains(&minute.len()) && minute.bytes().all(|digit| digit.is_ascii_digit());
    is_minute.then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Owner;

    fn of(kind: &str, api: &str, name: &str, labels: &Value) -> (String, String, String) {
        let pod = json!({"metadata": {"generateName": "x-", "labels": labels, "ownerReferences": [
            {"apiVersion": "v1", "kind": "Other", "name": "o"},
            {"apiVersion": api, "kind": kind, "name": name, "controller": true}]}});
        let owner = Owner::of_pod(&pod, "shop");
        (owner.api_version, owner.kind, owner.name)
    }

    #[test]
    fn names_tell_what_is_above() {
        let owner =
            |api: &str, kind: &str, name: &str| (api.to_owned(), kind.to_owned(), name.to_owned());
        let hash = json!({"pod-template-hash": "abc"});
        assert_eq!(
            of("ReplicaSet", "apps/v1", "web-abc", &hash),
            owner("apps/v1", "Deployment", "web")
        );
        assert_eq!(
            of("ReplicaSet", "apps/v1", "web", &hash),
            owner("apps/v1", "ReplicaSet", "web")
        );
        let rollout = json!({"rollouts-pod-template-hash": "abc"});
        assert_eq!(
            of("ReplicaSet", "apps/v1", "web-abc", &rollout),
            owner("v1alpha1", "Rollout", "web")
        );
        let config = json!({"deploymentconfig": "dc"});
        assert_eq!(
            of("ReplicationController", "v1", "dc-1", &config),
            owner("v1", "DeploymentConfig", "dc")
        );
        assert_eq!(
            of("Job", "batch/v1beta1", "tick-27654321", &json!({})),
            owner("batch/v1", "CronJob", "tick")
        );
        assert_eq!(
            of("Job", "batch/v1", "tick-1", &json!({})),
            owner("batch/v1", "Job", "tick-1")
        );
    }

    #[test]
    fn a_pod_of_its_own_name_is_its_own_workload() {
        let pod = json!({"metadata": {"name": "web", "ownerReferences": [{"kind": "Job", "name": "j", "controller": true}]}});
        let owner = Owner::of_pod(&pod, "shop");
        assert_eq!(
            (
                owner.kind.as_str(),
                owner.name.as_str(),
                owner.namespace.as_str()
            ),
            ("Pod", "web", "shop")
        );
    }
}
