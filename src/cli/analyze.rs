//! `analyze`: what is wrong in files, in a cluster, or in a cluster once files are applied to it.

#[cfg(feature = "cluster")]
pub(crate) mod cluster;
pub(crate) mod files;
mod print;
mod suppress;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use analyze::{Input, Level, Origin};
use clap::Args;
use serde_json::Value;

use files::Located;
use suppress::Suppression;

/// Exit code when something at or above the threshold was found; as istioctl's.
const FOUND: u8 = 79;

/// Arguments of `analyze`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// YAML files or folders; `-` is standard input
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// Look at the cluster as well
    #[arg(long = "use-kube", short = 'k', default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    use_kube: bool,
    /// All namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Descend into folders
    #[arg(long, short = 'R')]
    recursive: bool,
    /// Form of the output: log, json or yaml
    #[arg(long, short, default_value = "log", value_parser = ["log", "json", "yaml"])]
    output: String,
    /// Level from which on findings make the command fail
    #[arg(long, default_value = "Error", value_parser = level)]
    failure_threshold: Level,
    /// Level from which on findings are shown
    #[arg(long, default_value = "Info", value_parser = level)]
    output_threshold: Level,
    /// Findings not to show, `CODE=KIND NAME[.NAMESPACE]`; `*` stands for any text
    #[arg(long, short = 'S', value_name = "SUPPRESSION", value_parser = Suppression::parse)]
    suppress: Vec<Suppression>,
    /// MeshConfig, instead of the one that is found
    #[arg(long = "meshConfigFile", value_name = "FILE")]
    mesh_config: Option<PathBuf>,
    /// Leave out objects of kinds that are not known; all of them are left out anyway
    #[arg(long, hide = true)]
    ignore_unknown: bool,
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    flags: crate::cluster::Flags,
    /// Namespace
    #[cfg(not(feature = "cluster"))]
    #[arg(long, short)]
    namespace: Option<String>,
}

fn level(text: &str) -> Result<Level, String> {
    Level::parse(text).ok_or_else(|| "expected Info, Warning or Error".to_owned())
}

/// Prints findings to standard output and everything else to standard error.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match found(arguments) {
        Ok((text, failed)) => match crate::print(&text) {
            ExitCode::SUCCESS if failed => ExitCode::from(FOUND),
            code => code,
        },
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The output, and whether the threshold was met.
fn found(arguments: &Arguments) -> Result<(String, bool), String> {
    let of_files = files::read(&arguments.files, arguments.recursive)?;
    let mut objects: Vec<Located> = of_cluster(arguments)?;
    let own = namespace(arguments);
    for mut located in of_files {
        settle(&mut located.object, &own);
        let name = validate::reference(&located.object);
        // A file stands for what is to be applied over the cluster's object.
        objects.retain(|known| !same(&validate::reference(&known.object), &name));
        objects.push(located);
    }
    let values: Vec<Value> = objects
        .iter()
        .map(|located| located.object.clone())
        .collect();
    let mesh = mesh_config(arguments, &values)?;
    let networks = data_of(&values, "meshNetworks").unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let origin = if arguments.use_kube {
        Origin::Cluster
    } else {
        Origin::Files
    };
    let mut messages = analyze::analyze(&Input {
        objects: &values,
        origin,
        mesh: &mesh,
        networks: &networks,
        now: now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX)),
    });
    messages.retain(|message| {
        let subject = &message.subject;
        let inside = arguments.all_namespaces
            || subject
                .namespace
                .as_deref()
                .is_none_or(|namespace| namespace == own)
            || !arguments.use_kube;
        let of_namespace = subject.kind != "Namespace"
            || arguments.all_namespaces
            || !arguments.use_kube
            || subject.name == own;
        inside
            && of_namespace
            && message.code.level >= arguments.output_threshold
            && !arguments
                .suppress
                .iter()
                .any(|suppression| suppression.covers(message))
            && !suppress::by_annotation(&values, message)
    });
    let failed = messages
        .iter()
        .any(|message| message.code.level >= arguments.failure_threshold);
    let place = if arguments.all_namespaces {
        None
    } else {
        Some(own.as_str())
    };
    Ok((
        print::text(&messages, &objects, &arguments.output, place),
        failed,
    ))
}

/// Whether two references are to one object, in whatever version of its API.
pub(crate) fn same(one: &base::ObjectRef, other: &base::ObjectRef) -> bool {
    one.group() == other.group()
        && one.kind == other.kind
        && one.namespace == other.namespace
        && one.name == other.name
}

/// Objects of a file without a namespace are for the one that is looked at.
pub(crate) fn settle(object: &mut Value, own: &str) {
    const CLUSTER_WIDE: [&str; 7] = [
        "Namespace",
        "Node",
        "CustomResourceDefinition",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "GatewayClass",
        "ClusterRole",
    ];
    let kind = object["kind"].as_str().unwrap_or_default();
    if !own.is_empty()
        && !CLUSTER_WIDE.contains(&kind)
        && object["metadata"]["namespace"].is_null()
        && let Some(metadata) = object["metadata"].as_object_mut()
    {
        metadata.insert("namespace".to_owned(), own.into());
    }
}

#[cfg(feature = "cluster")]
fn of_cluster(arguments: &Arguments) -> Result<Vec<Located>, String> {
    match arguments.use_kube {
        true => arguments.flags.run(cluster::objects),
        false => Ok(Vec::new()),
    }
}

#[cfg(not(feature = "cluster"))]
fn of_cluster(arguments: &Arguments) -> Result<Vec<Located>, String> {
    match arguments.use_kube {
        true => Err("built without access to clusters, expected --use-kube=false".to_owned()),
        false => Ok(Vec::new()),
    }
}

/// Where objects without a namespace belong; empty for all namespaces.
fn namespace(arguments: &Arguments) -> String {
    if arguments.all_namespaces {
        return String::new();
    }
    #[cfg(feature = "cluster")]
    let named = arguments.flags.namespace.clone();
    #[cfg(not(feature = "cluster"))]
    let named = arguments.namespace.clone();
    named.unwrap_or_else(|| "default".to_owned())
}

fn mesh_config(arguments: &Arguments, objects: &[Value]) -> Result<Value, String> {
    match &arguments.mesh_config {
        None => Ok(data_of(objects, "mesh").unwrap_or_default()),
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            let documents = api::yaml::documents(&text);
            let mut documents =
                documents.map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(documents.pop().unwrap_or_default())
        }
    }
}

/// A part of the ConfigMap `istio`.
pub(crate) fn data_of(objects: &[Value], key: &str) -> Option<Value> {
    let map = objects
        .iter()
        .find(|object| object["kind"] == "ConfigMap" && object["metadata"]["name"] == "istio")?;
    api::yaml::documents(map["data"][key].as_str()?).ok()?.pop()
}
