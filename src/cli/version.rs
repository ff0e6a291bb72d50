//! `version`: which program this is.

use clap::Args;

/// Arguments of `version`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print the number only
    #[arg(long, short)]
    short: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, String> {
    let version = env!("CARGO_PKG_VERSION");
    Ok(if arguments.short {
        format!("{version}\n")
    } else {
        format!("client version: {version}\n")
    })
}
