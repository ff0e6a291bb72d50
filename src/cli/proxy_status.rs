//! `proxy-status`: how far each proxy is with what its control plane sent, or, for one proxy, what it has that
//! differs from what it is to have.

mod diff;

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use http::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, Flags, forward, pod};
use crate::control_plane::{self, Instance};
use crate::file;
use crate::proxy_config::{self, ADMIN_PORT};
use crate::table::Table;

/// Arguments of `proxy-status`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// Compare the configuration of this pod: NAME[.NAMESPACE], or TYPE/NAME[.NAMESPACE] of what has pods
    pod: Option<String>,
    /// Only control planes of this revision
    #[arg(long, short)]
    revision: Option<String>,
    /// Only control planes with these labels
    #[arg(
        long = "xds-label",
        value_name = "SELECTOR",
        conflicts_with = "revision"
    )]
    label: Option<String>,
    /// How to show it
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// 1 shows how far each type of resource is
    #[arg(long, short, default_value_t = 0)]
    verbosity: u8,
    /// File with the config dump of the pod's Envoy, - for standard input
    #[arg(long, value_name = "FILE", requires = "pod")]
    file: Option<String>,
    /// Port of Envoy's admin interface
    #[arg(long, value_name = "PORT", default_value_t = ADMIN_PORT)]
    proxy_admin_port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Yaml,
}

/// What one instance of the control plane tells.
#[derive(Debug)]
struct Told {
    instance: String,
    /// Its `syncz`.
    proxies: Vec<Value>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, String> {
    arguments.flags.run(async |cluster| match &arguments.pod {
        Some(pod) => compared(&cluster, arguments, pod).await,
        None => status(&cluster, arguments).await,
    })
}

async fn status(cluster: &Cluster, arguments: &Arguments) -> Result<String, String> {
    let mut all = Vec::new();
    for instance in asked(cluster, arguments).await? {
        let proxies = control_plane::proxies(cluster, &instance.pod).await?;
        all.push(Told {
            instance: instance.pod.name,
            proxies,
        });
    }
    let namespace = arguments.flags.namespace.as_deref();
    match arguments.output {
        Format::Json => Ok(messages(&all, namespace)
            .map(|one| proxy_config::json(&one))
            .collect()),
        Format::Yaml => Ok(messages(&all, namespace)
            .map(|one| api::yaml::print(&one))
            .collect()),
        Format::Table if arguments.verbosity > 0 => Ok(by_type(&all, namespace, Timestamp::now())),
        Format::Table => Ok(summary(&all, namespace)),
    }
}

async fn asked(cluster: &Cluster, arguments: &Arguments) -> Result<Vec<Instance>, String> {
    let (revision, label) = (arguments.revision.as_deref(), arguments.label.as_deref());
    control_plane::instances(cluster, revision, label).await
}

/// What a proxy has beside what the instance that it is connected to says that it is to have.
async fn compared(cluster: &Cluster, arguments: &Arguments, pod: &str) -> Result<String, String> {
    let pod = pod::one(cluster, pod).await?;
    let envoy = match &arguments.file {
        Some(name) => file::read(name)?.into_bytes(),
        None => {
            let port = arguments.proxy_admin_port;
            let answer = forward::request(cluster, &pod, port, Method::GET, "config_dump").await?;
            answer.to_vec()
        }
    };
    let mut refusals = Vec::new();
    for instance in asked(cluster, arguments).await? {
        let path = format!("debug/config_dump?proxyID={pod}");
        match control_plane::ask(cluster, &instance.pod, &path).await {
            Ok(dump) => return diff::compare(&dump, &envoy),
            Err(why) => refusals.push(why),
        }
    }
    Err(format!(
        "no control plane knows pod {pod}:\n{}",
        refusals.join("\n")
    ))
}

/// One proxy, read from `syncz`.
struct Proxy<'a> {
    id: &'a str,
    cluster: &'a str,
    instance: &'a str,
    version: &'a str,
    /// State by type URL.
    types: BTreeMap<String, State>,
}

#[derive(Debug, Clone, PartialEq)]
struct State {
    status: &'static str,
    at: Option<Timestamp>,
    error: String,
}

/// All proxies of a namespace, or of all, by id.
fn proxies<'a>(all: &'a [Told], namespace: Option<&str>) -> Vec<Proxy<'a>> {
    let mut found = Vec::new();
    for one in all {
        for proxy in &one.proxies {
            let text = |key: &str| proxy[key].as_str().unwrap_or_default();
            let id = text("proxy");
            let own = id.rsplit_once('.').map_or("", |(_, namespace)| namespace);
            if namespace.is_some_and(|wanted| wanted != own) {
                continue;
            }
            found.push(Proxy {
                id,
                cluster: text("cluster_id"),
                instance: &one.instance,
                version: text("istio_version"),
                types: types(proxy),
            });
        }
    }
    found.sort_by(|a, b| (a.id, a.instance).cmp(&(b.id, b.instance)));
    found
}

const CDS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const LDS: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
const EDS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
const RDS: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
const ECDS: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

fn types(proxy: &Value) -> BTreeMap<String, State> {
    if let Some(resources) = proxy["resources"].as_object() {
        let states = resources.iter();
        return states
            .map(|(of, exchange)| (of.clone(), state(exchange)))
            .collect();
    }
    // Control planes before 1.25 tell five types by name.
    let known = [
        ("cluster", CDS),
        ("listener", LDS),
        ("endpoint", EDS),
        ("route", RDS),
        ("extensionconfig", ECDS),
    ];
    let told = known.into_iter().filter_map(|(word, of)| {
        let sent = &proxy[format!("{word}_sent")];
        let acked = &proxy[format!("{word}_acked")];
        let exchange = json!({"sent": sent, "acked": acked});
        (!sent.is_null()).then(|| (of.to_owned(), state(&exchange)))
    });
    told.collect()
}

fn state(exchange: &Value) -> State {
    let text = |key: &str| exchange[key].as_str().unwrap_or_default();
    let (sent, acked, error) = (text("sent"), text("acked"), text("lastError"));
    let status = if !error.is_empty() {
        "ERROR"
    } else if sent.is_empty() {
        "NOT SENT"
    } else if sent == acked {
        "SYNCED"
    } else {
        "STALE"
    };
    let at = text("sentTime").parse().ok();
    State {
        status,
        at: at.filter(|at: &Timestamp| at.as_second() > 0),
        error: error.to_owned(),
    }
}

/// Short names in the order in which they are shown; other types follow by URL.
const SHORT: [(&str, &str); 5] = [
    (CDS, "CDS"),
    (LDS, "LDS"),
    (EDS, "EDS"),
    (RDS, "RDS"),
    (ECDS, "ECDS"),
];
const OTHERS: [(&str, &str); 6] = [
    ("envoy.extensions.transport_sockets.tls.v3.Secret", "SDS"),
    ("envoy.config.route.v3.VirtualHost", "VHDS"),
    ("istio.networking.nds.v1.NameTable", "NDS"),
    ("istio.mesh.v1alpha1.ProxyConfig", "PCDS"),
    ("istio.workload.Address", "WDS"),
    ("istio.security.Authorization", "WADS"),
];

fn short(of: &str) -> &str {
    let main = SHORT.iter().find(|(url, _)| *url == of);
    let other = OTHERS.iter().find(|(name, _)| of.ends_with(name));
    main.or(other).map_or(of, |(_, short)| short)
}

fn rank(of: &str) -> usize {
    // The first four have their places, all others are in the order of their URLs.
    let position = SHORT[..4].iter().position(|(url, _)| *url == of);
    position.unwrap_or(SHORT.len())
}

fn summary(all: &[Told], namespace: Option<&str>) -> String {
    let mut table = Table::new(
        5,
        &["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"],
    );
    for proxy in proxies(all, namespace) {
        let mut types: Vec<&String> = proxy.types.keys().collect();
        types.sort_by_key(|of| (rank(of), of.as_str()));
        let names: Vec<&str> = types.iter().map(|of| short(of)).collect();
        let subscribed = match names.is_empty() {
            true => "0".to_owned(),
            false => format!("{} ({})", names.len(), names.join(",")),
        };
        let cells = [proxy.id, proxy.cluster, proxy.instance, proxy.version];
        table.row(cells.map(str::to_owned).into_iter().chain([subscribed]));
    }
    table.print()
}

fn by_type(all: &[Told], namespace: Option<&str>, now: Timestamp) -> String {
    let proxies = proxies(all, namespace);
    let mut types: Vec<&str> = proxies
        .iter()
        .flat_map(|proxy| proxy.types.keys().map(String::as_str))
        .chain(SHORT.iter().map(|(of, _)| *of))
        .collect();
    types.sort_unstable();
    types.dedup();
    let header = ["NAME", "CLUSTER"].into_iter();
    let header = header.chain(types.iter().map(|of| short(of)));
    let header: Vec<&str> = header.chain(["ISTIOD", "VERSION"]).collect();
    let mut table = Table::new(5, &header);
    for proxy in &proxies {
        let states = types.iter().map(|of| match proxy.types.get(*of) {
            None => "IGNORED".to_owned(),
            Some(State {
                status: "NOT SENT", ..
            }) => "NOT SENT".to_owned(),
            Some(State { status, at, .. }) => match at {
                None => (*status).to_owned(),
                Some(at) => format!("{status} ({})", age(now, *at)),
            },
        });
        let before = [proxy.id, proxy.cluster].map(str::to_owned).into_iter();
        let after = [proxy.instance, proxy.version].map(str::to_owned);
        table.row(before.chain(states).chain(after));
    }
    table.print()
}

/// As kubectl tells ages: the two largest units while the larger one is small.
pub(crate) fn age(now: Timestamp, at: Timestamp) -> String {
    let seconds = (now.as_second() - at.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, unit: &str, small: i64, rest: &str| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{rest}"),
    };
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, "m", seconds % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if days < 8 {
        two(days, "d", hours % 24, "h")
    } else {
        format!("{days}d")
    }
}

/// One discovery response for each instance, as istioctl prints what it got over xDS.
fn messages(all: &[Told], namespace: Option<&str>) -> impl Iterator<Item = Value> {
    all.iter().map(move |one| {
        let proxies = proxies(std::slice::from_ref(one), namespace).into_iter();
        let resources: Vec<Value> = proxies.map(|proxy| client_config(&proxy)).collect();
        let instance = json!({"Component": "istiod", "ID": one.instance});
        json!({
            "resources": resources,
            "typeUrl": "istio.io/debug/syncz",
            "controlPlane": {"identifier": instance.to_string()},
        })
    })
}

fn client_config(proxy: &Proxy<'_>) -> Value {
    let namespace = proxy
        .id
        .rsplit_once('.')
        .map_or("", |(_, namespace)| namespace);
    let metadata: Map<String, Value> = [
        ("CLUSTER_ID", proxy.cluster),
        ("ISTIO_VERSION", proxy.version),
        ("NAMESPACE", namespace),
    ]
    .into_iter()
    .filter(|(_, text)| !text.is_empty())
    .map(|(key, text)| (key.to_owned(), text.into()))
    .collect();
    let configs = proxy.types.iter().map(|(of, state)| {
        let mut config = json!({"typeUrl": of, "configStatus": state.status.replace(' ', "_")});
        if let Some(at) = state.at {
            config["lastUpdated"] = at.to_string().into();
        }
        if !state.error.is_empty() {
            config["errorState"] = json!({"details": state.error});
        }
        config
    });
    json!({
        "@type": "type.googleapis.com/envoy.service.status.v3.ClientConfig",
        "node": {"id": proxy.id, "metadata": metadata},
        "genericXdsConfigs": configs.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
