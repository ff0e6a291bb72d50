//! The operator as a process of this machine, which goes to the API server by an address that a case gives it, and can
//! be ended at any moment, as by a power failure.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// An operator; it ends with this.
pub struct LocalOperator {
    child: Child,
    folder: PathBuf,
}

impl LocalOperator {
    /// Starts it for the IstioOperators of one namespace, where its Lease is too. Each of them has the same name to the
    /// Lease, so one that follows another that was ended waits for nothing.
    ///
    /// # Panics
    /// When there is no such program: `cargo build --release` makes it.
    pub fn start(api_server: &str, namespace: &str) -> LocalOperator {
        let port = api_server.rsplit(':').next().unwrap_or_default();
        let folder =
            std::env::temp_dir().join(format!("ferrosail-e2e-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        let kubeconfig = folder.join("kubeconfig");
        std::fs::write(&kubeconfig, kubeconfig_for(api_server)).expect("a temporary file");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .expect("a temporary file");
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/ferrosail");
        let child = Command::new(program)
            .args(["operator", "--identity", "local"])
            .args(["--namespace", namespace, "--watch-namespace", namespace])
            .args([
                "--health-address",
                "127.0.0.1:0",
                "--metrics-address",
                "127.0.0.1:0",
            ])
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; cargo build --release makes it"));
        LocalOperator { child, folder }
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for LocalOperator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("--- log of the local operator");
            lines.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn kubeconfig_for(api_server: &str) -> String {
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "intercepted",
        "clusters": [{"name": "intercepted", "cluster": {"server": format!("http://{api_server}")}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "intercepted", "context": {"cluster": "intercepted", "user": "nobody"}}],
    });
    config.to_string()
}
