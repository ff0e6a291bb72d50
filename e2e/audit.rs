//! What was written to the API server, from its audit log. The log holds writes only; `FERROSAIL_NODE` names the folder
//! of the cluster that it lies in.

use std::path::PathBuf;

use serde_json::Value;

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Who, as the API server authenticated it.
    pub user: String,
    /// The pod that a ServiceAccount's token was made for; empty for anyone else.
    pub pod: String,
    /// `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// Path and query.
    pub uri: String,
    /// HTTP status of the answer.
    pub code: u64,
}

fn path() -> PathBuf {
    let node = std::env::var_os("FERROSAIL_NODE")
        .expect("FERROSAIL_NODE names the folder of the cluster under test");
    PathBuf::from(node).join("log/audit.json")
}

/// How long the log is now; see [`since`].
///
/// # Panics
/// When there is no log.
pub fn mark() -> u64 {
    let path = path();
    let metadata = std::fs::metadata(&path);
    metadata
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .len()
}

/// Every write that was logged since `mark`, except those that store nothing: dry runs, and questions about who
/// someone is and what they may.
///
/// # Panics
/// When the log cannot be read, or was turned over in between.
pub fn since(mark: u64) -> Vec<Write> {
    let path = path();
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let start = usize::try_from(mark).expect("a log of less than the address space");
    assert!(text.len() >= start, "the log was turned over meanwhile");
    let text = String::from_utf8_lossy(&text[start..]).into_owned();
    let writes = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    writes
        .map(|entry| Write {
            user: entry["user"]["username"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            pod: entry["user"]["extra"]["authentication.kubernetes.io/pod-name"][0]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            verb: entry["verb"].as_str().unwrap_or_default().to_owned(),
            uri: entry["requestURI"].as_str().unwrap_or_default().to_owned(),
            code: entry["responseStatus"]["code"].as_u64().unwrap_or_default(),
        })
        .filter(Write::is_stored)
        .collect()
}

impl Write {
    fn is_stored(&self) -> bool {
        let question = [
            "/apis/authentication.k8s.io/",
            "/apis/authorization.k8s.io/",
        ];
        !self.uri.contains("dryRun=All")
            && !question.iter().any(|group| self.uri.starts_with(group))
    }

    /// Whether it is the heartbeat of a leader.
    pub fn is_lease(&self) -> bool {
        self.uri.starts_with("/apis/coordination.k8s.io/")
    }

    /// Whether it tells users of Istio's resources what became of those, and is no part of any installation.
    pub fn is_told_to_users(&self) -> bool {
        self.path().ends_with("/status") && !self.path().contains("/istiooperators/")
    }

    /// Path without query.
    pub fn path(&self) -> &str {
        self.uri.split('?').next().unwrap_or_default()
    }
}
