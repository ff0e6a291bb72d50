//! What is to be installed, as verbs are told: files with IstioOperators, assignments on top of them, a revision.

use api::istio_operator::{API_VERSION, IstioOperator, KIND};
use base::Problem;
use clap::Args;
use install::{Install, Observed};
use serde_json::{Map, Value, json};

use crate::{file, set};

/// Arguments that say what is to be installed.
#[derive(Debug, Default, Args)]
pub(crate) struct Inputs {
    /// File with an IstioOperator, - for standard input; of several, later ones go on top
    #[arg(
        long = "filename",
        short = 'f',
        value_name = "FILE",
        value_delimiter = ','
    )]
    pub filenames: Vec<String>,
    /// Set a field of the spec, for example components.pilot.k8s.replicaCount=2
    #[arg(long, short = 's', value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Revision of the control plane; the same as --set revision=REVISION
    #[arg(long, short)]
    pub revision: Option<String>,
}

impl Inputs {
    /// The IstioOperator that they make together; `further` files go on top of those of -f.
    ///
    /// # Errors
    /// What is wrong with a file or an assignment.
    pub fn document(&self, further: &[String]) -> Result<Map<String, Value>, String> {
        let names: Vec<&String> = self.filenames.iter().chain(further).collect();
        let last = names.len().saturating_sub(1);
        let mut files = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            if name == "-" && index < last {
                return Err("standard input can only be the last file".to_owned());
            }
            files.push((name.as_str(), file::read(name)?));
        }
        self.merged(&files)
    }

    /// The same, of texts.
    ///
    /// # Errors
    /// As [`Inputs::document`].
    pub fn merged(&self, files: &[(&str, String)]) -> Result<Map<String, Value>, String> {
        let mut document = merged(files)?;
        for assignment in &self.set {
            set::apply(&mut document, assignment)?;
        }
        if let Some(revision) = &self.revision {
            let spec = json!({"spec": {"revision": revision}});
            install::merge(&mut document, object(&spec));
        }
        Ok(document)
    }
}

/// What the IstioOperator means.
///
/// # Errors
/// Every problem, one a line.
pub(crate) fn resolve(
    document: Map<String, Value>,
    kubernetes: Option<(u32, u32)>,
) -> Result<Install, String> {
    let parsed = IstioOperator::parse(&Value::Object(document)).map_err(|found| listed(&found))?;
    let version = env!("CARGO_PKG_VERSION");
    // By default, the images of this very version.
    let seen = Observed {
        hub: install::DEFAULT_HUB.to_owned(),
        tag: version.to_owned(),
        version: version.to_owned(),
        kubernetes,
        host: None,
    };
    install::resolve(&parsed, &seen).map_err(|found| listed(&found))
}

/// Prints what is probably not meant to standard error.
pub(crate) fn warn(install: &Install) {
    for warning in &install.warnings {
        eprintln!("warning: {warning}");
    }
}

/// The files, merged.
fn merged(files: &[(&str, String)]) -> Result<Map<String, Value>, String> {
    let empty = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": {}, "spec": {}});
    let mut merged = object(&empty).clone();
    for (name, text) in files {
        let mut documents =
            api::yaml::documents(text).map_err(|error| format!("{name}: {error}"))?;
        let found = match (documents.pop(), documents.len()) {
            (None, _) => continue,
            (Some(Value::Object(found)), 0) => found,
            (Some(_), 0) => return Err(format!("{name}: is no object, expected an {KIND}")),
            (Some(_), others) => {
                let count = others + 1;
                return Err(format!(
                    "{name}: has {count} documents, expected one {KIND}"
                ));
            }
        };
        // `spec:` with nothing below it is as good as none.
        let found = found.into_iter().filter(|(_, value)| !value.is_null());
        install::merge(&mut merged, &found.collect());
    }
    Ok(merged)
}

fn listed(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("a literal object")
}
