//! The verbs without the roles, as a program of its own: small, and built in a third of the time.

use std::process::ExitCode;

use clap::Parser;

/// The command line of Istio, Ferrosail's.
#[derive(Debug, Parser)]
#[command(name = "istioctl", version)]
struct Istioctl {
    #[command(subcommand)]
    command: cli::Command,
}

fn main() -> ExitCode {
    let arguments = cli::verb_first(std::env::args_os().collect());
    cli::run(Istioctl::parse_from(arguments).command)
}
