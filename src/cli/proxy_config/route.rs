//! `proxy-config route`: virtual hosts, what requests match, and which VirtualService it comes from.

use std::collections::BTreeSet;

use serde_json::Value;

use super::cluster::name;
use super::dump::{Dump, entries};
use crate::table::Table;

/// Domains that are shown before the rest is counted.
const DOMAINS: usize = 2;

/// The routes of a name, or all.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub name: Option<String>,
}

/// Ordered by port; names that are no port stay in Envoy's order, after them.
fn shown<'a>(dump: &'a Dump, filter: &Filter) -> Result<Vec<&'a Value>, String> {
    let mut routes = dump.routes()?;
    routes.retain(|route| {
        filter
            .name
            .as_deref()
            .is_none_or(|wanted| wanted == name(route))
    });
    routes.sort_by_key(|route| {
        let port = name(route).parse::<u32>();
        (port.is_err(), port.unwrap_or_default())
    });
    Ok(routes)
}

/// As a list of messages.
pub(super) fn list(dump: &Dump, filter: &Filter) -> Result<Value, String> {
    Ok(shown(dump, filter)?.into_iter().cloned().collect())
}

/// As a table: a line for each route, or with `verbose` off, for each route configuration.
pub(super) fn table(
    dump: &Dump,
    filter: &Filter,
    verbose: bool,
    with_names: bool,
) -> Result<String, String> {
    let routes = shown(dump, filter)?;
    let shown_name = |route| match with_names {
        true => format!("route/{}", name(route)),
        false => name(route).to_owned(),
    };
    if !verbose {
        let mut table = Table::new(5, &["NAME", "VIRTUAL HOSTS"]);
        for route in routes {
            let hosts = entries(route, "virtualHosts").count();
            table.row([shown_name(route), hosts.to_string()]);
        }
        return Ok(table.print());
    }
    let header = ["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"];
    let mut table = Table::new(5, &header);
    for config in routes {
        for host in entries(config, "virtualHosts") {
            let mut row = |matches: String, service: String| {
                // Hosts that are told apart are called by the configuration that they are of.
                let own = name(host).strip_prefix(name(config));
                let own = own.and_then(|own| own.strip_prefix('/'));
                let host_name = own.unwrap_or(name(host)).to_owned();
                table.row([
                    shown_name(config),
                    host_name,
                    domains(host),
                    matches,
                    service,
                ]);
            };
            let mut routes = entries(host, "routes").peekable();
            if routes.peek().is_none() {
                row("/*".to_owned(), "404".to_owned());
            }
            // Where requests leave the mesh by themselves says nothing about services.
            for route in routes.filter(|route| route["route"]["cluster"] != "PassthroughCluster") {
                row(describe_match(&route["match"]), managed_by(route));
            }
        }
    }
    Ok(table.print())
}

/// The shortest domains, without those that say the same at greater length or with a port.
fn domains(host: &Value) -> String {
    let all: Vec<&str> = entries(host, "domains").filter_map(Value::as_str).collect();
    if let [one] = all[..] {
        return one.to_owned();
    }
    let without_port = |domain: &&str| match domain.matches(':').count() {
        0 => true,
        1 | 2 => false,
        // IPv6; with a port something follows the bracket.
        _ => domain.ends_with(']'),
    };
    let kept: Vec<&str> = all.iter().copied().filter(without_port).collect();
    let known: BTreeSet<&str> = kept.iter().copied().collect();
    let says_more = |domain: &&str| {
        let shorter = [".svc.cluster.local", ".svc"].map(|suffix| domain.strip_suffix(suffix));
        !shorter.iter().flatten().any(|short| known.contains(short))
    };
    let kept: Vec<&str> = kept.iter().copied().filter(says_more).collect();
    match kept.len().checked_sub(DOMAINS) {
        Some(more) if more > 0 => format!("{} + {more} more...", kept[..DOMAINS].join(", ")),
        _ => kept.join(", "),
    }
}

/// What a route matches, by its path.
pub(super) fn describe_match(of: &Value) -> String {
    let text = |key: &str| of[key].as_str().filter(|text| !text.is_empty());
    let mut said = Vec::new();
    said.extend(text("prefix").map(|prefix| format!("{prefix}*")));
    said.extend(text("pathSeparatedPrefix").map(|prefix| format!("PathPrefix:{prefix}")));
    said.extend(text("path").map(str::to_owned));
    let regex = of["safeRegex"]["regex"].as_str();
    said.extend(regex.map(|regex| format!("regex {regex}")));
    said.join(" ")
}

/// The Istio object that a resource was made from, `name.namespace`.
pub(super) fn managed_by(of: &Value) -> String {
    let path = of["metadata"]["filterMetadata"]["istio"]["config"].as_str();
    match path {
        None => String::new(),
        Some(path) if path.starts_with("/apis/networking.istio.io/") => {
            match path.split('/').collect::<Vec<_>>()[..] {
                [_, _, _, _, _, namespace, _, name] => format!("{name}.{namespace}"),
                _ => String::new(),
            }
        }
        Some(_) => "<unknown>".to_owned(),
    }
}
