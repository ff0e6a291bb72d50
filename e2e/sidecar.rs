//! What a pod's Envoy says of itself: its access log, its administration pages.

use kube::Api;

use crate::http;
use crate::namespace::Namespace;

/// The container of every injected pod.
pub const CONTAINER: &str = "istio-proxy";
const ADMIN: u16 = 15000;

/// Access log lines of a pod that contain every one of `parts`.
pub async fn access_log<const N: usize>(
    namespace: &Namespace,
    pod: &str,
    parts: [&str; N],
) -> Result<Vec<String>, String> {
    let log = namespace.log(pod, CONTAINER).await;
    let mut lines = log.lines().filter(|line| line.starts_with('['));
    let found: Vec<_> = lines
        .by_ref()
        .filter(|line| parts.iter().all(|part| line.contains(part)))
        .map(str::to_owned)
        .collect();
    if found.is_empty() {
        let last: Vec<_> = log.lines().rev().take(5).collect();
        return Err(format!(
            "no line of {pod} has {parts:?}; the last ones: {last:#?}"
        ));
    }
    Ok(found)
}

/// Access log lines of a pod about what was not answered with 200, at most the last ten.
pub async fn not_ok(namespace: &Namespace, pod: &str) -> Vec<String> {
    let log = namespace.log(pod, CONTAINER).await;
    let lines = log.lines().filter(|line| line.starts_with('['));
    let mut failed: Vec<_> = lines
        .filter(|line| !line.contains(" 200 "))
        .map(str::to_owned)
        .collect();
    failed.split_off(failed.len().saturating_sub(10))
}

/// An administration page of a pod's Envoy, through the API server.
///
/// # Errors
/// When it cannot be reached or answers anything but 200.
pub async fn admin(namespace: &Namespace, pod: &str, path: &str) -> Result<String, String> {
    let pods: Api<_> = namespace.pods();
    let mut forwarder = pods
        .portforward(pod, &[ADMIN])
        .await
        .map_err(|error| format!("{pod}: {error}"))?;
    let stream = forwarder.take_stream(ADMIN).expect("it is taken once");
    let answer = http::get_over(stream, "localhost", path).await?;
    forwarder.abort();
    match answer.status {
        200 => Ok(answer.body),
        status => Err(format!("{pod} {path}: {status}: {}", answer.body)),
    }
}
