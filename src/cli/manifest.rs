//! `manifest generate`: the objects that an IstioOperator installs, without a cluster.

use std::io::Read;

use api::istio_operator::{API_VERSION, IstioOperator, KIND};
use base::Problem;
use clap::{Args, Subcommand};
use install::{Object, Observed};
use serde_json::{Map, Value, json};

use crate::{set, stream};

/// Verbs of `manifest`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print the objects that an IstioOperator installs
    Generate(Generate),
}

/// Arguments of `manifest generate`.
#[derive(Debug, Args)]
pub struct Generate {
    /// File with an IstioOperator, - for standard input; of several, later ones go on top
    #[arg(long = "filename", short = 'f', value_name = "FILE")]
    filenames: Vec<String>,
    /// Set a field of the spec, for example components.pilot.k8s.replicaCount=2
    #[arg(long, short = 's', value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Revision of the control plane; the same as --set revision=REVISION
    #[arg(long, short)]
    revision: Option<String>,
}

pub(crate) fn run(verb: &Verb) -> Result<String, String> {
    let Verb::Generate(arguments) = verb;
    let mut document = document(&arguments.filenames)?;
    for assignment in &arguments.set {
        set::apply(&mut document, assignment)?;
    }
    if let Some(revision) = &arguments.revision {
        let spec = json!({"spec": {"revision": revision}});
        install::merge(&mut document, object(&spec));
    }
    let parsed = IstioOperator::parse(&Value::Object(document)).map_err(|found| listed(&found))?;
    let install = install::resolve(&parsed, &observed()).map_err(|found| listed(&found))?;
    for warning in &install.warnings {
        eprintln!("warning: {warning}");
    }
    let manifest = install::build(&install.without_owner());
    let mut objects: Vec<Object> = manifest.objects().cloned().collect();
    install::sort(&mut objects);
    Ok(stream(objects.iter().map(|object| &object.body)))
}

/// What is rendered by default: the images of this very version.
fn observed() -> Observed {
    let version = env!("CARGO_PKG_VERSION");
    Observed {
        hub: install::DEFAULT_HUB.to_owned(),
        tag: version.to_owned(),
        version: version.to_owned(),
        kubernetes: None,
    }
}

/// The files, merged.
fn document(filenames: &[String]) -> Result<Map<String, Value>, String> {
    let empty = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": {}, "spec": {}});
    let mut merged = object(&empty).clone();
    for (index, name) in filenames.iter().enumerate() {
        if name == "-" && index + 1 < filenames.len() {
            return Err("standard input can only be the last file".to_owned());
        }
        let text = read(name)?;
        let mut documents =
            api::yaml::documents(&text).map_err(|error| format!("{name}: {error}"))?;
        let found = match (documents.pop(), documents.is_empty()) {
            (None, _) => continue,
            (Some(Value::Object(found)), true) => found,
            (Some(_), true) => return Err(format!("{name}: is no object, expected an {KIND}")),
            (Some(_), false) => {
                let count = documents.len() + 1;
                return Err(format!(
                    "{name}: has {count} documents, expected one {KIND}"
                ));
            }
        };
        let found = found.into_iter().filter(|(_, value)| !value.is_null());
        install::merge(&mut merged, &found.collect());
    }
    Ok(merged)
}

fn read(name: &str) -> Result<String, String> {
    let mut text = String::new();
    let result = if name == "-" {
        std::io::stdin().lock().read_to_string(&mut text)
    } else {
        std::fs::File::open(name.trim()).and_then(|mut file| file.read_to_string(&mut text))
    };
    match result {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("cannot read {name}: {error}")),
    }
}

fn listed(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("a literal object")
}
