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
    let last = arguments.filenames.len().saturating_sub(1);
    let mut files = Vec::new();
    for (index, name) in arguments.filenames.iter().enumerate() {
        if name == "-" && index < last {
            return Err("standard input can only be the last file".to_owned());
        }
        files.push((name.as_str(), read(name)?));
    }
    let (objects, warnings) = generate(arguments, &files)?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    Ok(stream(objects.iter().map(|object| &object.body)))
}

/// The objects in the order in which they can be applied, and what is to be said about them.
fn generate(
    arguments: &Generate,
    files: &[(&str, String)],
) -> Result<(Vec<Object>, Vec<Problem>), String> {
    let mut document = document(files)?;
    for assignment in &arguments.set {
        set::apply(&mut document, assignment)?;
    }
    if let Some(revision) = &arguments.revision {
        let spec = json!({"spec": {"revision": revision}});
        install::merge(&mut document, object(&spec));
    }
    let parsed = IstioOperator::parse(&Value::Object(document)).map_err(|found| listed(&found))?;
    let install = install::resolve(&parsed, &observed()).map_err(|found| listed(&found))?;
    let install = install.without_owner();
    let manifest = install::build(&install);
    let mut objects: Vec<Object> = manifest.objects().cloned().collect();
    install::sort(&mut objects);
    Ok((objects, install.warnings))
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
fn document(files: &[(&str, String)]) -> Result<Map<String, Value>, String> {
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

#[cfg(test)]
mod tests {
    use super::{Generate, generate};

    const HEADER: &str = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\n";

    fn names(specs: &[&str], set: &[&str]) -> Result<Vec<String>, String> {
        let arguments = Generate {
            filenames: Vec::new(),
            set: set.iter().map(|text| (*text).to_owned()).collect(),
            revision: None,
        };
        let files: Vec<(&str, String)> = specs
            .iter()
            .map(|spec| ("file.yaml", format!("{HEADER}{spec}\n")))
            .collect();
        let (objects, _) = generate(&arguments, &files)?;
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
