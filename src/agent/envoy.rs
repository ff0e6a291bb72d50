//! The Envoy process: its command line, its start and its end.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use bootstrap::{Addresses, ProxyConfig};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// How long Envoy may take to write its logs and exit before it is killed.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// What the agent's command line and environment say about Envoy's.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--proxyLogLevel`: a level, scopes with levels, or both, separated by commas.
    pub log_level: String,
    /// `--proxyComponentLogLevel`: used where the former has no scopes.
    pub component_log_level: String,
    /// ENVOY_SKIP_DEPRECATED_LOGS.
    pub skip_deprecated_logs: bool,
    /// Laid over the bootstrap by Envoy (ISTIO_BOOTSTRAP_OVERRIDE), as JSON or YAML.
    pub bootstrap_override: Option<String>,
}

/// Envoy's arguments, in upstream's order.
pub fn arguments(
    file: &Path,
    config: &ProxyConfig,
    addresses: Addresses,
    options: &Options,
) -> Vec<String> {
    let mut arguments: Vec<String> = vec!["-c".into(), file.to_string_lossy().into_owned()];
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(|&word| word.to_owned()));
    let drain_seconds = config.drain_duration.0.as_secs().to_string();
    add(&["--drain-time-s", &drain_seconds]);
    add(&["--drain-strategy", "immediate"]);
    add(&[
        "--local-address-ip-version",
        addresses.local_address_version(),
    ]);
    // Access logs appear within a second, not ten.
    add(&["--file-flush-interval-msec", "1000"]);
    add(&["--disable-hot-restart", "--allow-unknown-static-fields"]);
    let (scopes, levels): (Vec<&str>, Vec<&str>) = options
        .log_level
        .split(',')
        .filter(|part| !part.is_empty())
        .partition(|part| part.contains(':'));
    if let Some(level) = levels.last() {
        add(&["-l", level]);
    }
    if !scopes.is_empty() {
        add(&["--component-log-level", &scopes.join(",")]);
    } else if !options.component_log_level.is_empty() {
        add(&["--component-log-level", &options.component_log_level]);
    }
    if options.skip_deprecated_logs {
        add(&["--skip-deprecated-logs"]);
    }
    if let Some(layer) = &options.bootstrap_override {
        add(&["--config-yaml", layer]);
    }
    if let Some(workers) = config.concurrency.filter(|&workers| workers > 0) {
        add(&["--concurrency", &workers.to_string()]);
    }
    arguments
}

/// Writes the bootstrap to the folder of the proxy's files, which is made if need be.
pub fn write_bootstrap(config_path: &str, bootstrap: &serde_json::Value) -> io::Result<PathBuf> {
    std::fs::create_dir_all(config_path)?;
    let file = Path::new(config_path).join("envoy-rev.json");
    std::fs::write(&file, serde_json::to_vec_pretty(bootstrap)?)?;
    Ok(file)
}

/// Starts Envoy. It writes to the agent's own output, and dies with the agent's handle of it.
pub fn start(binary: &str, arguments: &[String]) -> io::Result<Child> {
    Command::new(binary)
        .args(arguments)
        .kill_on_drop(true)
        .spawn()
}

/// Ends Envoy: asks first, so that it writes its last access logs, and kills it if it lingers.
pub async fn stop(envoy: &mut Child) -> io::Result<ExitStatus> {
    if let Some(pid) = envoy.id().and_then(|pid| i32::try_from(pid).ok()) {
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        if let Ok(status) = tokio::time::timeout(EXIT_TIMEOUT, envoy.wait()).await {
            return status;
        }
        tracing::warn!("envoy did not exit within {EXIT_TIMEOUT:?} and is killed");
        envoy.start_kill()?;
    }
    envoy.wait().await
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Addresses, Options, ProxyConfig, arguments};

    fn line(options: &Options, layer: serde_json::Value) -> String {
        let config = ProxyConfig::merge(&[layer]).expect("a valid proxy config");
        let file = Path::new("etc/istio/proxy/envoy-rev.json");
        arguments(file, &config, Addresses::V4, options).join(" ")
    }

    #[test]
    fn a_gateways_command_line_is_upstreams() {
        let options = Options {
            log_level: "warning".into(),
            component_log_level: "misc:error".into(),
            skip_deprecated_logs: true,
            bootstrap_override: None,
        };
        assert_eq!(
            line(&options, serde_json::json!({"concurrency": 2})),
            "-c etc/istio/proxy/envoy-rev.json --drain-time-s 45 --drain-strategy immediate \
             --local-address-ip-version v4 --file-flush-interval-msec 1000 --disable-hot-restart \
             --allow-unknown-static-fields -l warning --component-log-level misc:error \
             --skip-deprecated-logs --concurrency 2"
        );
    }

    #[test]
    fn scopes_in_the_level_win_over_the_older_flag() {
        let options = Options {
            log_level: "info,upstream:debug,misc:error".into(),
            component_log_level: "http:trace".into(),
            ..Options::default()
        };
        let line = line(&options, serde_json::json!({}));
        assert!(
            line.ends_with("-l info --component-log-level upstream:debug,misc:error"),
            "{line}"
        );
    }
}
