//! A reference to one Kubernetes object, by value. Says nothing about whether it exists.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names one object: API version, kind, namespace (absent when cluster-scoped) and name.
///
/// Displays as `kind namespace/name` in lower case, the form of all messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// `v1`, `apps/v1`, `networking.istio.io/v1` …
    pub api_version: String,
    /// `Service`, `Deployment` …
    pub kind: String,
    /// Absent for cluster-scoped objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectRef {
    /// The API group, empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// The API version without its group.
    pub fn version(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or(self.api_version.as_str(), |(_, version)| version)
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.to_lowercase();
        match &self.namespace {
            Some(namespace) => write!(f, "{kind} {namespace}/{}", self.name),
            None => write!(f, "{kind} {}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ObjectRef;

    fn deployment() -> ObjectRef {
        ObjectRef {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: Some("istio-system".into()),
            name: "istiod".into(),
        }
    }

    #[test]
    fn displays_kind_namespace_and_name() {
        assert_eq!(deployment().to_string(), "deployment istio-system/istiod");
    }

    #[test]
    fn the_core_group_is_empty() {
        let service = ObjectRef {
            api_version: "v1".into(),
            ..deployment()
        };
        assert_eq!((service.group(), service.version()), ("", "v1"));
        assert_eq!(
            (deployment().group(), deployment().version()),
            ("apps", "v1")
        );
    }
}
