//! `crds`: the CustomResourceDefinitions as YAML.

use clap::Args;

use crate::stream;

/// Arguments of `crds`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print those of Istio's own kinds as well, which the Base component installs
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, String> {
    let mut found = vec![install::istio_operator_crd()];
    if arguments.all {
        found.extend(install::istio_crds());
    }
    Ok(stream(&found))
}
