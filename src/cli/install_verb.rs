//! `install`: applies what an IstioOperator installs and waits until it is there.

use clap::Args;
use jiff::SignedDuration;

use crate::cluster::Flags;
use crate::inputs::{self, Inputs};
use crate::installation::Installation;
use crate::plan_text;
use crate::progress::{Progress, confirmed};

/// Named in the list of what is in the way, at most.
const LISTED: usize = 8;

/// Arguments of `install`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    flags: Flags,
    /// Further files, on top of those of --filename
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// Do not ask
    #[arg(long, short = 'y')]
    skip_confirmation: bool,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// How long a component may take to become available
    #[arg(long, value_name = "DURATION", default_value = "300s")]
    readiness_timeout: SignedDuration,
    /// Take over what belongs to Helm, and what an IstioOperator of the cluster keeps
    #[arg(long)]
    force: bool,
    /// Check everything once more after it was installed
    #[arg(long)]
    verify: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, String> {
    let document = arguments.inputs.document(&arguments.files)?;
    let profile = document["spec"]["profile"]
        .as_str()
        .unwrap_or("default")
        .to_owned();
    arguments.flags.run(async |cluster| {
        let wanted = Installation::of(&cluster, document).await?;
        inputs::warn(&wanted.install);
        if arguments.dry_run {
            let plan = wanted.plan(&cluster).await?;
            return plan_text::outcome(&plan, false);
        }
        if !arguments.force {
            let foreign = wanted.foreign(&cluster).await?;
            if !foreign.is_empty() {
                let more = foreign.len().saturating_sub(LISTED);
                let mut listed = foreign[..foreign.len().min(LISTED)].join("\n");
                if more > 0 {
                    listed += &format!("\nand {more} more");
                }
                return Err(format!(
                    "these exist already and are not this installation's; --force takes them over:\n{listed}"
                ));
            }
        }
        if !arguments.skip_confirmation {
            let version = env!("CARGO_PKG_VERSION");
            let question = format!(
                "This will install the Istio {version} profile {profile:?} into the cluster."
            );
            if !confirmed(&question) {
                return Err("Cancelled.".to_owned());
            }
        }
        let mut progress = Progress::new();
        let patience = arguments.readiness_timeout.unsigned_abs();
        wanted.apply(&cluster, patience, &mut progress).await?;
        match arguments.verify {
            true => crate::verify_install::verified(&cluster, &wanted.manifest).await,
            false => Ok(String::new()),
        }
    })
}
