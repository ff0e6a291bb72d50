//! `pilot-agent istio-iptables`: sends the pod's TCP traffic through Envoy, by iptables rules in the network namespace
//! that it runs in. REDIRECT mode and IPv4.

mod command;
mod rules;
mod settings;
mod transaction;

use std::collections::BTreeMap;
use std::process::ExitCode;

use crate::arguments::Arguments;
pub use command::CommandError;
pub use settings::InvalidSetting;

/// Traffic is not captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A flag or variable has a value that is not supported.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// iptables failed; nothing of ours is left.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// Brings the rules into the state that the command line asks for; running it again changes nothing.
///
/// # Errors
/// [`CaptureError`]; then there are no rules of ours.
pub fn run(
    arguments: &Arguments,
    environment: &BTreeMap<String, String>,
) -> Result<ExitCode, CaptureError> {
    let asked = settings::read(arguments, environment)?;
    for warning in &asked.warnings {
        tracing::warn!("{warning}");
    }
    let wanted = match asked.action {
        settings::Action::Apply => rules::rules(&asked.settings),
        settings::Action::Print => {
            let text = transaction::transaction("", &rules::rules(&asked.settings));
            print!("{text}");
            return Ok(ExitCode::SUCCESS);
        }
        settings::Action::CleanUp => Vec::new(),
        settings::Action::Nothing => return Ok(ExitCode::SUCCESS),
    };
    let tool = command::choose()?;
    let before = tool.save()?;
    let change = transaction::transaction(&before, &wanted);
    if let Err(error) = tool.restore(&change) {
        // Tables are changed one after the other; those before the failure are put right again.
        if let Ok(state) = tool.save() {
            let cleanup = transaction::transaction(&state, &[]);
            if let Err(error) = tool.restore(&cleanup) {
                tracing::error!("rules may be left behind: {error}");
            }
        }
        return Err(error.into());
    }
    match wanted.len() {
        0 => tracing::info!("no rules of ours are left ({})", tool.name()),
        count => tracing::info!("{count} rules capture traffic ({})", tool.name()),
    }
    tracing::debug!("the transaction was:\n{change}");
    Ok(ExitCode::SUCCESS)
}
