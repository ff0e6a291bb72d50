//! The program's entry: argv is read here, and only here; verbs and roles do the rest.
//! Called as `pilot-discovery` or `istioctl`, it answers to upstream's command lines of that name.

mod roles;

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Configuration is many small values that live briefly; `serve::memory` gives back what a burst of them has left.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Istio's control plane, its operator and its command line.
#[derive(Debug, Parser)]
#[command(name = "ferrosail", version)]
struct Ferrosail {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Verb(cli::Command),
    #[command(flatten)]
    Role(Role),
}

/// Istio's discovery service.
#[derive(Debug, Parser)]
#[command(name = "pilot-discovery", version)]
struct PilotDiscovery {
    #[command(subcommand)]
    command: DiscoveryCommand,
}

#[derive(Debug, Subcommand)]
enum DiscoveryCommand {
    /// Serve proxies: configuration, certificates, webhooks
    Discovery(Box<roles::discovery::Discovery>),
}

/// Istio's command line.
#[derive(Debug, Parser)]
#[command(name = "istioctl", version)]
struct Istioctl {
    #[command(subcommand)]
    command: cli::Command,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Serve proxies: configuration, certificates, webhooks
    Discovery(Box<roles::discovery::Discovery>),
    /// Reconcile IstioOperator resources
    Operator(Box<roles::operator::Operator>),
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let called_as = arguments
        .first()
        .and_then(|path| Path::new(path).file_name());
    match called_as.and_then(|name| name.to_str()) {
        Some("istioctl") => cli::run(Istioctl::parse_from(cli::verb_first(arguments)).command),
        Some("pilot-discovery") => match PilotDiscovery::parse_from(arguments).command {
            DiscoveryCommand::Discovery(discovery) => play(Role::Discovery(discovery)),
        },
        _ => match Ferrosail::parse_from(cli::verb_first(arguments)).command {
            Command::Verb(verb) => cli::run(verb),
            Command::Role(role) => play(role),
        },
    }
}

/// Runs a role until it is asked to end; why it could not go on is printed with every cause.
fn play(role: Role) -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("no TLS provider is installed before main");
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the asynchronous runtime could not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended: Result<(), Box<dyn Error>> = runtime.block_on(async {
        match role {
            Role::Discovery(discovery) => {
                roles::discovery::run(*discovery).await.map_err(Into::into)
            }
            Role::Operator(operator) => roles::operator::run(*operator).await.map_err(Into::into),
        }
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        // Transparent and interpolating errors repeat their cause.
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
