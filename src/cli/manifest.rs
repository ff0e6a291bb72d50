//! `manifest`: the objects that an IstioOperator installs, without a cluster (`generate`), and what differs between
//! two lists of objects, or between an IstioOperator and a cluster (`diff`).

use clap::{Args, Subcommand};
use install::Object;

use crate::inputs::{Inputs, resolve, warn};
use crate::{diff, stream};

/// Verbs of `manifest`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print the objects that an IstioOperator installs
    Generate(Generate),
    /// Compare two files with objects, or tell what an IstioOperator would change in the cluster
    Diff(diff::Arguments),
    /// Install, the same as `install`
    #[cfg(feature = "cluster")]
    Install(Box<crate::install_verb::Arguments>),
}

/// Arguments of `manifest generate`.
#[derive(Debug, Default, Args)]
pub struct Generate {
    #[command(flatten)]
    inputs: Inputs,
    /// Further files, on top of those of --filename
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// File to write to, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<String>,
}

pub(crate) fn run(verb: &Verb) -> Result<String, String> {
    match verb {
        Verb::Generate(arguments) => generate(arguments),
        Verb::Diff(arguments) => diff::run(arguments),
        #[cfg(feature = "cluster")]
        Verb::Install(arguments) => crate::install_verb::run(arguments),
    }
}

fn generate(arguments: &Generate) -> Result<String, String> {
    let document = arguments.inputs.document(&arguments.files)?;
    let text = stream(objects(document)?.iter().map(|object| &object.body));
    match &arguments.output {
        None => Ok(text),
        Some(name) => match std::fs::write(name, text) {
            Ok(()) => Ok(String::new()),
            Err(error) => Err(format!("cannot write {name}: {error}")),
        },
    }
}

/// The objects in the order in which they can be applied.
fn objects(document: serde_json::Map<String, serde_json::Value>) -> Result<Vec<Object>, String> {
    let install = resolve(document, None)?.without_owner();
    warn(&install);
    let manifest = install::build(&install);
    let mut objects: Vec<Object> = manifest.objects().cloned().collect();
    install::sort(&mut objects);
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::objects;
    use crate::inputs::Inputs;

    const HEADER: &str = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\n";

    fn names(specs: &[&str], set: &[&str]) -> Result<Vec<String>, String> {
        let inputs = Inputs {
            set: set.iter().map(|text| (*text).to_owned()).collect(),
            ..Inputs::default()
        };
        let files: Vec<(&str, String)> = specs
            .iter()
            .map(|spec| ("file.yaml", format!("{HEADER}{spec}\n")))
            .collect();
        let objects = objects(inputs.merged(&files)?)?;
        Ok(objects
            .iter()
            .filter(|object| object.reference.kind == "Deployment")
            .map(|object| object.reference.name.clone())
            .collect())
    }

    #[test]
    fn nothing_given_is_the_default_profile() {
        let found = names(&[], &[]).expect("valid");
        assert_eq!(found, ["istio-ingressgateway", "istiod"]);
        assert_eq!(names(&["spec:"], &[]).expect("valid"), found);
    }

    #[test]
    fn later_files_and_then_assignments_go_on_top() {
        let files = [
            "spec: {profile: empty}",
            "spec: {revision: a, components: {pilot: {enabled: true}}}",
        ];
        assert_eq!(names(&files, &[]).expect("valid"), ["istiod-a"]);
        let found = names(&files, &["revision=b"]).expect("valid");
        assert_eq!(found, ["istiod-b"]);
    }

    #[test]
    fn a_file_holds_one_document() {
        let two = format!("spec: {{}}\n---\n{HEADER}spec: {{}}");
        let error = names(&[&two], &[]).expect_err("two documents");
        assert_eq!(
            error,
            "file.yaml: has 2 documents, expected one IstioOperator"
        );
    }

    #[test]
    fn every_problem_stands_on_a_line_of_its_own() {
        let error = names(&["spec: {hubb: a, tagg: b}"], &[]).expect_err("two problems");
        assert_eq!(error.lines().count(), 2);
        assert!(
            error.starts_with("istiooperator (unnamed): spec.hubb "),
            "{error}"
        );
    }
}
