//! `explain`: what the mesh does and why, in words. Verbs only read; what they say is decided in the crates below.

#[cfg(feature = "cluster")]
mod cluster;
mod controllers;
mod from;
mod print;
mod request;
mod workload;

use clap::Subcommand;

/// What is to be explained.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// What becomes of a call: where it arrives, over what, and what decided that
    #[command(
        long_about = "What becomes of a call: where it arrives, over what, and what decided that.\n\nReads the objects \
        of files or of a cluster, derives what the proxies on the way are told, and walks through it as Envoy would. \
        Sends nothing."
    )]
    Request(Box<request::Arguments>),
}

pub(crate) fn run(verb: &Verb) -> Result<String, String> {
    match verb {
        Verb::Request(arguments) => request::run(arguments),
    }
}
