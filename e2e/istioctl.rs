//! The command line as a user runs it, on the cluster under test.

use std::process::Command;

/// Its standard output.
///
/// # Errors
/// Its standard error, when it fails.
pub fn istioctl(arguments: &[&str]) -> Result<String, String> {
    let kubeconfig = std::env::var("FERROSAIL_KUBECONFIG").expect("the cluster under test");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/istioctl");
    let output = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; cargo build --release makes it"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}
