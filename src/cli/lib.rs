//! The command line: one file per verb. Verbs read files and print; what they print is decided
//! in the crates below. `ferrosail`'s `main` adds the roles and dispatches.

#[cfg(feature = "engine")]
mod compile;
mod crds;
mod kube_inject;
mod manifest;
mod set;
mod version;

use std::process::ExitCode;

use clap::Subcommand;

/// Verbs that need no cluster.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Render what an IstioOperator installs
    #[command(subcommand)]
    Manifest(manifest::Verb),
    /// Write what proxies would get from the control plane
    #[cfg(feature = "engine")]
    Compile(compile::Arguments),
    /// Print the CustomResourceDefinitions
    Crds(crds::Arguments),
    /// Put sidecars into the pods of files
    KubeInject(kube_inject::Arguments),
    /// Print the version
    Version(version::Arguments),
}

/// Runs a verb; what goes wrong is printed to standard error.
pub fn run(command: Command) -> ExitCode {
    let result = match command {
        Command::Manifest(verb) => manifest::run(&verb),
        #[cfg(feature = "engine")]
        Command::Compile(arguments) => compile::run(&arguments),
        Command::Crds(arguments) => crds::run(&arguments),
        Command::KubeInject(arguments) => kube_inject::run(&arguments),
        Command::Version(arguments) => version::run(&arguments),
    };
    match result {
        Ok(text) => print(&text),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard output; a reader that has gone away (`| head`) is no failure.
fn print(text: &str) -> ExitCode {
    use std::io::{ErrorKind, Write};
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Objects as a YAML stream.
fn stream<'a>(objects: impl IntoIterator<Item = &'a serde_json::Value>) -> String {
    let documents: Vec<String> = objects.into_iter().map(api::yaml::print).collect();
    documents.join("---\n")
}
