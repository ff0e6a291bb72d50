//! `version`: which program this is, and which versions run in the cluster.

#[cfg(feature = "cluster")]
mod remote;

use clap::{ArgAction, Args, ValueEnum};
use serde_json::{Value, json};

#[cfg(feature = "cluster")]
use crate::cluster::Flags;

/// Arguments of `version`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    flags: Flags,
    /// Print numbers only
    #[arg(long, short, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value_t = true, action = ArgAction::Set)]
    short: bool,
    /// Ask the cluster as well
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value_t = true, action = ArgAction::Set)]
    remote: bool,
    /// Only control planes of this revision
    #[arg(long, short)]
    revision: Option<String>,
    /// How to print it
    #[arg(long, short, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Yaml,
    Json,
}

/// What runs in a cluster.
#[derive(Debug, Default, PartialEq)]
struct Remote {
    /// Versions of the control plane's instances, with their revision.
    control_planes: Vec<(String, String)>,
    /// Proxies and their versions.
    proxies: Vec<(String, String)>,
}

const CLIENT: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn run(arguments: &Arguments) -> Result<String, String> {
    let remote = remote(arguments);
    Ok(match arguments.output {
        None => lines(remote.as_ref(), arguments.short),
        Some(Format::Json) => {
            let text = serde_json::to_string_pretty(&message(remote.as_ref()));
            text.expect("a JSON value prints") + "\n"
        }
        Some(Format::Yaml) => api::yaml::print(&message(remote.as_ref())),
    })
}

/// Why a cluster tells nothing is said on standard error; the client's version is known all the same.
#[cfg(feature = "cluster")]
fn remote(arguments: &Arguments) -> Option<Remote> {
    if !arguments.remote {
        return None;
    }
    let revision = arguments.revision.as_deref();
    let found = arguments
        .flags
        .run(async |cluster| remote::ask(&cluster, revision).await);
    found
        .inspect_err(|why| eprintln!("Istio is not present in the cluster: {why}"))
        .ok()
}

#[cfg(not(feature = "cluster"))]
fn remote(arguments: &Arguments) -> Option<Remote> {
    // This build reaches no cluster.
    let _ = (arguments.remote, &arguments.revision);
    None
}

fn lines(remote: Option<&Remote>, short: bool) -> String {
    let mut text = format!("client version: {CLIENT}\n");
    let Some(Remote {
        control_planes,
        proxies,
    }) = remote
    else {
        return text;
    };
    let mut versions: Vec<&str> = control_planes
        .iter()
        .map(|(_, version)| version.as_str())
        .collect();
    versions.dedup();
    match (&versions[..], short) {
        ([one], true) => text += &format!("control plane version: {one}\n"),
        _ => {
            for (revision, version) in control_planes {
                text += &format!("pilot version: {version} (revision {revision})\n");
            }
        }
    }
    if !short {
        for (proxy, version) in proxies {
            text += &format!("data plane version: {version} ({proxy})\n");
        }
        return text;
    }
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for (_, version) in proxies {
        *counts.entry(version).or_default() += 1;
    }
    let counts = counts
        .iter()
        .map(|(version, count)| format!("{version} ({count} proxies)"));
    let counts: Vec<String> = counts.collect();
    let counts = match counts.is_empty() {
        true => "none".to_owned(),
        false => counts.join(", "),
    };
    text + &format!("data plane version: {counts}\n")
}

fn message(remote: Option<&Remote>) -> Value {
    let mut message = json!({"clientVersion": {"version": CLIENT}});
    if let Some(remote) = remote {
        let control_planes = remote.control_planes.iter();
        message["meshVersion"] = control_planes
            .map(|(revision, version)| {
                json!({"Component": "pilot", "Revision": revision, "Info": {"version": version}})
            })
            .collect();
        let proxies = remote.proxies.iter();
        message["dataPlaneVersion"] = proxies
            .map(|(id, version)| json!({"ID": id, "IstioVersion": version}))
            .collect();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::{CLIENT, Remote, lines, message};

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    }

    #[test]
    fn without_a_cluster_there_is_the_client_only() {
        assert_eq!(lines(None, true), format!("client version: {CLIENT}\n"));
        assert!(message(None).get("meshVersion").is_none());
    }

    #[test]
    fn equal_versions_are_told_once() {
        let remote = Remote {
            control_planes: pairs(&[("default", "1.30.0"), ("default", "1.30.0")]),
            proxies: pairs(&[("a", "1.30.0"), ("b", "1.30.0"), ("c", "1.29.0")]),
        };
        assert_eq!(
            lines(Some(&remote), true),
            format!(
                "client version: {CLIENT}\ncontrol plane version: 1.30.0\n\
                 data plane version: 1.29.0 (1 proxies), 1.30.0 (2 proxies)\n"
            )
        );
        assert_eq!(message(Some(&remote))["dataPlaneVersion"][2]["ID"], "c");
    }

    #[test]
    fn different_versions_are_told_by_revision() {
        let remote = Remote {
            control_planes: pairs(&[("a", "1.29.0"), ("b", "1.30.0")]),
            proxies: Vec::new(),
        };
        assert_eq!(
            lines(Some(&remote), true),
            format!(
                "client version: {CLIENT}\npilot version: 1.29.0 (revision a)\npilot version: 1.30.0 (revision b)\n\
                 data plane version: none\n"
            )
        );
    }
}
