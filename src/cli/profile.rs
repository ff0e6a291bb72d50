//! `profile`: the starting points of an installation that this program carries.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value};

use crate::inputs::Inputs;

/// Verbs of `profile`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print the names of all profiles
    List,
    /// Print a profile, or an IstioOperator on top of its profile
    Dump(Dump),
    /// Compare two profiles
    Diff(Diff),
}

/// Arguments of `profile dump`.
#[derive(Debug, Args)]
pub struct Dump {
    /// Profile; default when none is named
    profile: Option<String>,
    #[command(flatten)]
    inputs: Inputs,
    /// Print only what is below this path, for example components.pilot
    #[arg(long, short = 'p', value_name = "PATH", default_value = "")]
    config_path: String,
    /// How to print it
    #[arg(long, short, value_name = "FORMAT", default_value = "yaml")]
    output: Format,
}

/// Arguments of `profile diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// Profile
    one: String,
    /// Another profile
    other: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Yaml,
    Json,
    Flags,
}

pub(crate) fn run(verb: &Verb) -> Result<String, String> {
    match verb {
        Verb::List => {
            let lines = install::profiles().map(|name| format!("    {name}\n"));
            Ok(format!(
                "Istio configuration profiles:\n{}",
                lines.collect::<String>()
            ))
        }
        Verb::Dump(arguments) => dump(arguments),
        Verb::Diff(arguments) => diff(arguments),
    }
}

fn dump(arguments: &Dump) -> Result<String, String> {
    let user = arguments.inputs.document(&[])?;
    let written = user["spec"]["profile"].as_str().map(str::to_owned);
    let name = match (&arguments.profile, written) {
        (Some(named), Some(written)) if *named != written => {
            return Err(format!(
                "profile {named} is asked for, but the files say profile {written}"
            ));
        }
        (Some(named), _) => named.clone(),
        (None, written) => written.unwrap_or_else(|| "default".to_owned()),
    };
    let mut found = named(&name)?;
    if let (Value::Object(found), Value::Object(spec)) = (&mut found, &user["spec"]) {
        let mut over = Map::new();
        over.insert("spec".to_owned(), Value::Object(spec.clone()));
        install::merge(found, &over);
    }
    let shown = match arguments.config_path.as_str() {
        "" => found,
        path => below(&found["spec"], path)
            .ok_or_else(|| format!("profile {name} has nothing at {path}"))?,
    };
    Ok(match arguments.output {
        Format::Yaml => api::yaml::print(&shown),
        Format::Json => {
            let text = serde_json::to_string_pretty(&shown).expect("a JSON value prints");
            text + "\n"
        }
        Format::Flags => {
            let mut lines = Vec::new();
            flags("", shown.get("spec").unwrap_or(&shown), &mut lines);
            lines.join("\n") + "\n"
        }
    })
}

fn named(name: &str) -> Result<Value, String> {
    install::profile(name).ok_or_else(|| {
        let known: Vec<&str> = install::profiles().collect();
        format!(
            "there is no profile {name:?}, expected one of {}",
            known.join(", ")
        )
    })
}

fn below(value: &Value, path: &str) -> Option<Value> {
    let mut steps = path.split('.').filter(|step| !step.is_empty());
    let found = steps.try_fold(value, |value, step| match value {
        Value::Array(items) => items.get(step.trim_matches(['[', ']']).parse::<usize>().ok()?),
        _ => value.get(step),
    });
    found.cloned()
}

/// `path=value` of every leaf, as --set takes it.
fn flags(path: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let key = key.replace('.', "\\.");
                let below = match path {
                    "" => key,
                    _ => format!("{path}.{key}"),
                };
                flags(&below, value, lines);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                flags(&format!("{path}[{index}]"), item, lines);
            }
        }
        Value::Object(_) | Value::Array(_) | Value::Null => {}
        Value::String(text) => lines.push(format!("{path}={}", text.replace(',', "\\,"))),
        other => lines.push(format!("{path}={other}")),
    }
}

fn diff(arguments: &Diff) -> Result<String, String> {
    let Diff { one, other } = arguments;
    let lines = |name: &str| {
        let mut lines = Vec::new();
        flags("", &named(name)?["spec"], &mut lines);
        Ok::<_, String>(lines)
    };
    let (before, after) = (lines(one)?, lines(other)?);
    let gone = before.iter().filter(|line| !after.contains(line));
    let come = after.iter().filter(|line| !before.contains(line));
    let gone = gone.map(|line| format!("-{line}\n"));
    let text: String = gone.chain(come.map(|line| format!("+{line}\n"))).collect();
    Ok(match text.as_str() {
        "" => "Profiles are identical\n".to_owned(),
        _ => format!("--- {one}\n+++ {other}\n{text}"),
    })
}

#[cfg(test)]
mod tests {
    use super::{Diff, Dump, Format, Verb, run};
    use crate::inputs::Inputs;

    fn dump(profile: &str, set: &[&str], path: &str, output: Format) -> Result<String, String> {
        run(&Verb::Dump(Dump {
            profile: Some(profile.to_owned()),
            inputs: Inputs {
                set: set.iter().map(|text| (*text).to_owned()).collect(),
                ..Inputs::default()
            },
            config_path: path.to_owned(),
            output,
        }))
    }

    #[test]
    fn the_list_names_profiles() {
        let text = run(&Verb::List).expect("a list");
        assert!(
            text.contains("    default\n") && text.contains("    minimal\n"),
            "{text}"
        );
    }

    #[test]
    fn a_dump_is_the_profile_with_what_is_set_on_top() {
        let text = dump(
            "demo",
            &["components.pilot.k8s.replicaCount=3"],
            "components",
            Format::Flags,
        );
        let text = text.expect("a dump");
        assert!(text.contains("egressGateways[0].enabled=true"), "{text}");
        assert!(text.contains("pilot.k8s.replicaCount=3"), "{text}");
        let error =
            dump("demo", &[], "components.nothing", Format::Yaml).expect_err("no such path");
        assert_eq!(error, "profile demo has nothing at components.nothing");
    }

    #[test]
    fn a_dump_installs_what_its_profile_installs() {
        for name in install::profiles() {
            let text = dump(name, &[], "", Format::Yaml).expect("a dump");
            let files = [("dump.yaml", text)];
            let inputs = Inputs::default();
            let of_dump = crate::inputs::resolve(inputs.merged(&files).expect("one"), None);
            let plain = format!("spec: {{profile: {name}}}");
            let header = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\n";
            let plain = [("plain.yaml", format!("{header}{plain}"))];
            let of_name = crate::inputs::resolve(inputs.merged(&plain).expect("one"), None);
            let names = |found: Result<install::Install, String>| {
                let manifest = install::build(&found.expect(name));
                let objects = manifest.objects().map(|object| object.reference.clone());
                objects.collect::<Vec<_>>()
            };
            assert_eq!(names(of_dump), names(of_name), "{name}");
        }
    }

    #[test]
    fn an_unknown_profile_names_the_known_ones() {
        let error = dump("default1", &[], "", Format::Yaml).expect_err("unknown");
        assert!(
            error.starts_with("there is no profile \"default1\", expected one of ")
                && error.contains("default, demo"),
            "{error}"
        );
    }

    #[test]
    fn a_diff_has_the_lines_that_one_lacks() {
        let diff = |one: &str, other: &str| {
            let (one, other) = (one.to_owned(), other.to_owned());
            run(&Verb::Diff(Diff { one, other })).expect("profiles")
        };
        assert_eq!(diff("demo", "demo"), "Profiles are identical\n");
        let text = diff("default", "demo");
        assert!(
            text.contains("+components.egressGateways[0].enabled=true"),
            "{text}"
        );
    }
}
