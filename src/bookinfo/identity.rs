//! Who answers: the pod's name and the version of the program in it.

use hyper::HeaderMap;
use serde_json::{Value, json};

use crate::caller;

/// Response header with the version of the workload that answered.
pub const SERVED_BY_VERSION: &str = "x-served-by-version";
/// Response header with the name of the pod that answered.
pub const SERVED_BY_POD: &str = "x-served-by-pod";

/// Told in every answer.
#[derive(Clone, Debug)]
pub struct Identity {
    pub pod: String,
    pub version: String,
}

impl Identity {
    /// The pod's name is that of the host: Kubernetes sets it so.
    pub fn of(version: &str) -> Self {
        let pod = std::env::var("POD_NAME")
            .or_else(|_| std::env::var("HOSTNAME"))
            .or_else(|_| std::fs::read_to_string("/proc/sys/kernel/hostname"))
            .map(|name| name.trim().to_owned())
            .unwrap_or_default();
        Self {
            pod,
            version: version.to_owned(),
        }
    }

    /// `fields` with `pod`, `version` and `caller` added; the latter is null for who has no certificate.
    pub fn sign(&self, mut fields: Value, asked: &HeaderMap) -> Value {
        if let Some(object) = fields.as_object_mut() {
            object.insert("pod".to_owned(), json!(self.pod));
            object.insert("version".to_owned(), json!(self.version));
            object.insert("caller".to_owned(), json!(caller::identity(asked)));
        }
        fields
    }
}
