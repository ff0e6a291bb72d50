//! `proxy-config`: what an Envoy has, from its admin interface in a pod, or from a file with what that answered.

mod bootstrap;
mod cluster;
mod dump;
mod endpoint;
mod listener;
mod log;
mod route;
mod secret;

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use jiff::Timestamp;
use serde_json::Value;

use crate::cluster::{Cluster, Flags, forward, pod};
use crate::file;
use dump::Dump;
pub(crate) use dump::camel;

/// Envoy's admin interface.
pub(crate) const ADMIN_PORT: u16 = 15000;
const USAGE: &str = "expected a pod, NAME[.NAMESPACE] or TYPE/NAME[.NAMESPACE]";

/// Arguments of `proxy-config`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    admin: Admin,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Args)]
pub(crate) struct Admin {
    /// Port of Envoy's admin interface
    #[arg(
        id = "proxy_admin_port",
        long = "proxy-admin-port",
        value_name = "PORT",
        default_value_t = ADMIN_PORT,
        global = true
    )]
    port: u16,
}

/// Parts of an Envoy's configuration.
#[derive(Debug, Subcommand)]
enum What {
    /// Clusters: services that requests can go to
    #[command(visible_aliases = ["clusters", "c"])]
    Cluster(OfClusters),
    /// Listeners: addresses that connections come in by
    #[command(visible_aliases = ["listeners", "l"])]
    Listener(OfListeners),
    /// Routes: which requests go to which cluster
    #[command(visible_aliases = ["routes", "r"])]
    Route(OfRoutes),
    /// Endpoints: addresses of clusters, and how they are doing
    #[command(visible_aliases = ["endpoints", "ep"])]
    Endpoint(OfEndpoints),
    /// Endpoints as the control plane told them
    #[command(hide = true)]
    Eds(OfEndpoints),
    /// Certificates
    #[command(visible_aliases = ["secrets", "s"])]
    Secret(From),
    /// What Envoy was started with
    #[command(visible_alias = "b")]
    Bootstrap(OfBootstrap),
    /// Configurations of extensions
    #[command(visible_alias = "ec")]
    Ecds(From),
    /// Everything
    #[command(visible_alias = "a")]
    All(Box<OfAll>),
    /// Levels of loggers
    #[command(visible_alias = "o")]
    Log(log::Arguments),
}

/// Where a dump comes from, and how it is shown.
#[derive(Debug, Args)]
struct From {
    /// Pod: NAME[.NAMESPACE], or TYPE/NAME[.NAMESPACE] of what has pods
    #[arg(required_unless_present = "file")]
    pod: Option<String>,
    /// File with what Envoy's admin interface answered, - for standard input
    #[arg(long, short, value_name = "FILE", conflicts_with = "pod")]
    file: Option<String>,
    /// How to show it
    #[arg(long, short, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Short,
    Json,
    Yaml,
}

#[derive(Debug, Args)]
struct OfClusters {
    #[command(flatten)]
    from: From,
    /// Only those with this in their host name
    #[arg(long)]
    fqdn: Option<String>,
    /// Only those of this port
    #[arg(long)]
    port: Option<u16>,
    /// Only those with this in their subset
    #[arg(long)]
    subset: Option<String>,
    /// Only inbound or outbound ones
    #[arg(long)]
    direction: Option<String>,
}

#[derive(Debug, Args)]
struct OfListeners {
    #[command(flatten)]
    from: From,
    /// Only those of this address
    #[arg(long)]
    address: Option<String>,
    /// Only those of this port
    #[arg(long)]
    port: Option<u16>,
    /// Only HTTP, TCP or HTTP+TCP ones
    #[arg(long = "type")]
    of: Option<String>,
    /// Tell what connections match and where they go
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    verbose: bool,
}

#[derive(Debug, Args)]
struct OfRoutes {
    #[command(flatten)]
    from: From,
    /// Only the route configuration of this name
    #[arg(long)]
    name: Option<String>,
    /// Tell every route
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    verbose: bool,
}

#[derive(Debug, Args)]
struct OfEndpoints {
    #[command(flatten)]
    from: From,
    /// Only those of this address
    #[arg(long)]
    address: Option<String>,
    /// Only those of this port
    #[arg(long)]
    port: Option<u16>,
    /// Only those of this cluster
    #[arg(long)]
    cluster: Option<String>,
    /// Only those in this state: healthy, unhealthy, draining …
    #[arg(long)]
    status: Option<String>,
}

#[derive(Debug, Args)]
struct OfBootstrap {
    #[command(flatten)]
    from: From,
}

#[derive(Debug, Args)]
struct OfAll {
    #[command(flatten)]
    from: From,
    /// Print a headline above each part
    #[arg(long)]
    with_headers: bool,
    /// Only clusters with this in their host name
    #[arg(long)]
    fqdn: Option<String>,
    /// Only clusters with this in their subset
    #[arg(long)]
    subset: Option<String>,
    /// Only inbound or outbound clusters
    #[arg(long)]
    direction: Option<String>,
    /// Only clusters, listeners and endpoints of this port
    #[arg(long)]
    port: Option<u16>,
    /// Only listeners and endpoints of this address
    #[arg(long)]
    address: Option<String>,
    /// Only HTTP, TCP or HTTP+TCP listeners
    #[arg(long = "type")]
    of: Option<String>,
    /// Only the route configuration of this name
    #[arg(long)]
    name: Option<String>,
    /// Tell what connections match and where they go, and every route
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    verbose: bool,
}

/// Parts of the dump, which Envoy then prints alone.
const SECRETS: &str = "config_dump?mask=dynamic_active_secrets,dynamic_warming_secrets";
const CLUSTERS: &str =
    "config_dump?mask=dynamic_active_clusters,dynamic_warming_clusters,static_clusters";
const LISTENERS: &str = "config_dump?mask=dynamic_listeners,static_listeners";
const ROUTES: &str = "config_dump?mask=dynamic_route_configs,static_route_configs";
const BOOTSTRAP: &str = "config_dump?mask=bootstrap";
const EVERYTHING: &str = "config_dump?include_eds=true";
const STATUS: &str = "clusters?format=json";

pub(crate) fn run(arguments: &Arguments) -> Result<String, String> {
    let source = Source {
        flags: &arguments.flags,
        admin: &arguments.admin,
    };
    match &arguments.what {
        What::Cluster(of) => {
            let dump = source.dump(&of.from, CLUSTERS)?;
            let filter = cluster::Filter {
                fqdn: of.fqdn.clone(),
                port: of.port,
                subset: of.subset.clone(),
                direction: of.direction.clone(),
            };
            shown(
                of.from.format(Format::Short),
                || cluster::table(&dump, &filter, false),
                || cluster::list(&dump, &filter),
            )
        }
        What::Listener(of) => {
            let dump = source.dump(&of.from, LISTENERS)?;
            let filter = listener::Filter {
                address: of.address.clone(),
                port: of.port,
                of: of.of.clone(),
            };
            shown(
                of.from.format(Format::Short),
                || listener::table(&dump, &filter, of.verbose, false),
                || listener::list(&dump, &filter),
            )
        }
        What::Route(of) => {
            let dump = source.dump(&of.from, ROUTES)?;
            let filter = route::Filter {
                name: of.name.clone(),
            };
            shown(
                of.from.format(Format::Short),
                || route::table(&dump, &filter, of.verbose, false),
                || route::list(&dump, &filter),
            )
        }
        What::Endpoint(of) => {
            let clusters = endpoint::Clusters::read(&source.read(&of.from, STATUS)?)?;
            shown(
                of.from.format(Format::Short),
                || Ok(clusters.table(&of.filter())),
                || Ok(clusters.list(&of.filter())),
            )
        }
        What::Eds(of) => {
            let dump = source.dump(&of.from, EVERYTHING)?;
            shown(
                of.from.format(Format::Short),
                || Ok(endpoint::assignments_table(&dump, &of.filter(), false)),
                || Ok(endpoint::assignments(&dump, &of.filter()).into()),
            )
        }
        What::Secret(from) => {
            let dump = source.dump(from, SECRETS)?;
            shown(
                from.format(Format::Short),
                || secret::table(&dump, Timestamp::now(), false),
                || secret::message(&dump),
            )
        }
        What::Bootstrap(of) => {
            let dump = source.dump(&of.from, BOOTSTRAP)?;
            shown(
                of.from.format(Format::Json),
                || bootstrap::versions(&dump),
                || bootstrap::message(&dump),
            )
        }
        What::Ecds(from) => {
            let dump = source.dump(from, EVERYTHING)?;
            shown(
                from.format(Format::Short),
                || bootstrap::extensions(&dump),
                || bootstrap::extensions_message(&dump),
            )
        }
        What::All(of) => all(&source, of),
        What::Log(of) => arguments
            .flags
            .run(async |cluster| log::run(&cluster, &arguments.admin, of).await),
    }
}

fn all(source: &Source<'_>, of: &OfAll) -> Result<String, String> {
    let text = source.read(&of.from, EVERYTHING)?;
    // As Envoy spells it: what is written to a file here can be read with --file.
    let raw = || serde_json::from_slice(&text).map_err(|error| format!("no JSON: {error}"));
    let summary = || summary(&Dump::read(&text)?, of, Timestamp::now());
    shown(of.from.format(Format::Short), summary, raw)
}

fn summary(dump: &Dump, of: &OfAll, now: Timestamp) -> Result<String, String> {
    let clusters = cluster::Filter {
        fqdn: of.fqdn.clone(),
        port: of.port,
        subset: of.subset.clone(),
        direction: of.direction.clone(),
    };
    let listeners = listener::Filter {
        address: of.address.clone(),
        port: of.port,
        of: of.of.clone(),
    };
    let routes = route::Filter {
        name: of.name.clone(),
    };
    let endpoints = endpoint::Filter {
        address: of.address.clone(),
        port: of.port,
        ..endpoint::Filter::default()
    };
    let parts = [
        ("BOOTSTRAP INFO", bootstrap::versions(dump)?),
        ("CLUSTER INFO", cluster::table(dump, &clusters, true)?),
        (
            "LISTENER INFO",
            listener::table(dump, &listeners, of.verbose, true)?,
        ),
        ("ROUTE INFO", route::table(dump, &routes, of.verbose, true)?),
        ("SECRET INFO", secret::table(dump, now, true)?),
        (
            "ENDPOINTS INFO",
            endpoint::assignments_table(dump, &endpoints, true),
        ),
    ];
    let parts = parts.map(|(headline, text)| match of.with_headers {
        true => format!("------ {headline} ------\n\n{text}"),
        false => text,
    });
    Ok(parts.join("\n"))
}

fn shown(
    format: Format,
    table: impl FnOnce() -> Result<String, String>,
    message: impl FnOnce() -> Result<Value, String>,
) -> Result<String, String> {
    match format {
        Format::Short => table(),
        Format::Json => Ok(json(&message()?)),
        Format::Yaml => Ok(api::yaml::print(&message()?)),
    }
}

/// Indented by four, as istioctl prints it.
pub(crate) fn json(value: &Value) -> String {
    use serde::Serialize;
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut printer = serde_json::Serializer::with_formatter(&mut text, indent);
    value.serialize(&mut printer).expect("a JSON value prints");
    text.push(b'\n');
    String::from_utf8(text).expect("JSON is UTF-8")
}

struct Source<'a> {
    flags: &'a Flags,
    admin: &'a Admin,
}

impl Source<'_> {
    fn dump(&self, from: &From, path: &str) -> Result<Dump, String> {
        let text = self.read(from, path)?;
        let of = from.file.as_ref().or(from.pod.as_ref());
        Dump::read(&text).map_err(|why| format!("{}: {why}", of.map_or("", |of| of)))
    }

    fn read(&self, from: &From, path: &str) -> Result<Vec<u8>, String> {
        match (&from.file, &from.pod) {
            (Some(name), _) => file::read(name).map(String::into_bytes),
            (None, Some(pod)) => self
                .flags
                .run(async |cluster| admin(&cluster, pod, self.admin.port, path).await),
            (None, None) => Err(USAGE.to_owned()),
        }
    }
}

/// What the Envoy of a pod answers on its admin port.
pub(crate) async fn admin(
    cluster: &Cluster,
    pod: &str,
    port: u16,
    path: &str,
) -> Result<Vec<u8>, String> {
    let pod = pod::one(cluster, pod).await?;
    let answer = forward::request(cluster, &pod, port, Method::GET, path).await?;
    Ok(answer.to_vec())
}

impl From {
    fn format(&self, default: Format) -> Format {
        self.output.unwrap_or(default)
    }
}

impl OfEndpoints {
    fn filter(&self) -> endpoint::Filter {
        endpoint::Filter {
            address: self.address.clone(),
            port: self.port,
            cluster: self.cluster.clone(),
            status: self.status.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
