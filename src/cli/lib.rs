//! The command line: one file per verb. Verbs read files and print; what they print is decided
//! in the crates below. `ferrosail`'s `main` adds the roles and dispatches.

#[cfg(feature = "engine")]
mod analyze;
mod arguments;
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(feature = "engine")]
mod compile;
#[cfg(feature = "cluster")]
mod control_plane;
mod crds;
mod diff;
#[cfg(feature = "engine")]
mod explain;
mod file;
mod inputs;
#[cfg(feature = "cluster")]
mod install_verb;
#[cfg(feature = "cluster")]
mod installation;
mod kube_inject;
mod manifest;
#[cfg(feature = "cluster")]
mod plan_text;
mod profile;
#[cfg(feature = "cluster")]
mod progress;
#[cfg(feature = "cluster")]
mod proxy_config;
#[cfg(feature = "cluster")]
mod proxy_status;
mod set;
#[cfg(feature = "cluster")]
mod table;
#[cfg(feature = "cluster")]
mod uninstall;
#[cfg(feature = "cluster")]
mod verify_install;
mod version;

use std::process::ExitCode;

use clap::Subcommand;

pub use arguments::verb_first;

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find what is wrong in files or in a cluster
    #[cfg(feature = "engine")]
    Analyze(Box<analyze::Arguments>),
    /// Apply what an IstioOperator installs, and wait until it is there
    #[cfg(feature = "cluster")]
    #[command(visible_alias = "apply")]
    Install(Box<install_verb::Arguments>),
    /// Render what an IstioOperator installs
    #[command(subcommand)]
    Manifest(manifest::Verb),
    /// Write what proxies would get from the control plane
    #[cfg(feature = "engine")]
    Compile(compile::Arguments),
    /// Say what the mesh does, and why
    #[cfg(feature = "engine")]
    #[command(subcommand)]
    Explain(explain::Verb),
    /// Print the CustomResourceDefinitions
    Crds(crds::Arguments),
    /// Put sidecars into the pods of files
    KubeInject(kube_inject::Arguments),
    /// Show the starting points of installations
    #[command(subcommand)]
    Profile(profile::Verb),
    /// Show what the Envoy of a pod has
    #[cfg(feature = "cluster")]
    #[command(visible_alias = "pc")]
    ProxyConfig(Box<proxy_config::Arguments>),
    /// Show how far each proxy is with what the control plane sent
    #[cfg(feature = "cluster")]
    #[command(visible_alias = "ps")]
    ProxyStatus(Box<proxy_status::Arguments>),
    /// Remove what was installed
    #[cfg(feature = "cluster")]
    Uninstall(Box<uninstall::Arguments>),
    /// Check that what was installed is there and available
    #[cfg(feature = "cluster")]
    VerifyInstall(Box<verify_install::Arguments>),
    /// Print versions
    Version(version::Arguments),
}

/// Runs a verb; what goes wrong is printed to standard error.
pub fn run(command: Command) -> ExitCode {
    let result = match command {
        #[cfg(feature = "engine")]
        Command::Analyze(arguments) => return analyze::run(&arguments),
        #[cfg(feature = "cluster")]
        Command::Install(arguments) => install_verb::run(&arguments),
        Command::Manifest(verb) => manifest::run(&verb),
        #[cfg(feature = "engine")]
        Command::Compile(arguments) => compile::run(&arguments),
        Command::Crds(arguments) => crds::run(&arguments),
        #[cfg(feature = "engine")]
        Command::Explain(verb) => explain::run(&verb),
        Command::KubeInject(arguments) => kube_inject::run(&arguments),
        Command::Profile(verb) => profile::run(&verb),
        #[cfg(feature = "cluster")]
        Command::ProxyConfig(arguments) => proxy_config::run(&arguments),
        #[cfg(feature = "cluster")]
        Command::ProxyStatus(arguments) => proxy_status::run(&arguments),
        #[cfg(feature = "cluster")]
        Command::Uninstall(arguments) => uninstall::run(&arguments),
        #[cfg(feature = "cluster")]
        Command::VerifyInstall(arguments) => verify_install::run(&arguments),
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
pub(crate) fn print(text: &str) -> ExitCode {
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
