//! A command run in a container, and what it wrote.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::AsyncReadExt;

/// What is left of a command that ended.
#[derive(Debug)]
pub struct Output {
    /// Whether its exit code was 0.
    pub success: bool,
    /// Standard output and standard error, each whole.
    pub stdout: String,
    pub stderr: String,
}

/// Runs `command` in a container of a pod and waits for its end, at most `limit`.
///
/// # Errors
/// When it could not be started or did not end in time; a command that fails is an [`Output`].
pub async fn exec(
    pods: &Api<Pod>,
    pod: &str,
    container: &str,
    command: &[&str],
    limit: Duration,
) -> Result<Output, String> {
    let parameters = AttachParams::default()
        .container(container)
        .stdin(false)
        .stdout(true)
        .stderr(true);
    let run = async {
        let mut process = pods
            .exec(pod, command.iter().copied(), &parameters)
            .await
            .map_err(|error| error.to_string())?;
        let mut stdout = process.stdout().expect("it was asked for");
        let mut stderr = process.stderr().expect("it was asked for");
        let status = process.take_status().expect("it is taken once");
        let (mut out, mut err) = (String::new(), String::new());
        let (read, read_too, status) = tokio::join!(
            stdout.read_to_string(&mut out),
            stderr.read_to_string(&mut err),
            status
        );
        read.and(read_too).map_err(|error| error.to_string())?;
        let status = status.ok_or("the connection ended before the command")?;
        Ok(Output {
            success: status.status.as_deref() == Some("Success"),
            stdout: out,
            stderr: err,
        })
    };
    let named = |reason: String| format!("{pod} {container}: {}: {reason}", command.join(" "));
    match tokio::time::timeout(limit, run).await {
        Ok(result) => result.map_err(named),
        Err(_) => Err(named(format!("no end within {limit:?}"))),
    }
}
