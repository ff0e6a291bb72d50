//! `proxy-config listener`: addresses, what connections match, and where they go.

use serde_json::Value;

use super::dump::{Dump, entries};
use super::route::describe_match;
use crate::table::Table;

const HTTP: &str = "envoy.filters.network.http_connection_manager";
const TCP: &str = "envoy.filters.network.tcp_proxy";
const BLACK_HOLE: &str = "BlackHoleCluster";

/// Which listeners are shown.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub address: Option<String>,
    pub port: Option<u16>,
    /// `HTTP`, `TCP` or `HTTP+TCP`, in any case.
    pub of: Option<String>,
}

impl Filter {
    fn takes(&self, listener: &Value) -> bool {
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        let address = |wanted: &str| addresses(listener).iter().any(|one| same(one, wanted));
        self.address.as_deref().is_none_or(address)
            && self
                .port
                .is_none_or(|wanted| port(listener) == u64::from(wanted))
            && self.of.as_deref().is_none_or(|of| same(kind(listener), of))
    }
}

fn addresses(listener: &Value) -> Vec<String> {
    let further = entries(listener, "additionalAddresses").map(|entry| &entry["address"]);
    let all = std::iter::once(&listener["address"]).chain(further);
    all.map(|address| {
        let socket = address["socketAddress"]["address"].as_str();
        let pipe = address["pipe"]["path"].as_str();
        socket.or(pipe).unwrap_or_default().to_owned()
    })
    .collect()
}

fn port(listener: &Value) -> u64 {
    let socket = &listener["address"]["socketAddress"];
    socket["portValue"].as_u64().unwrap_or_default()
}

fn chains(listener: &Value) -> impl Iterator<Item = &Value> {
    let fallback = Some(&listener["defaultFilterChain"]).filter(|chain| !chain.is_null());
    entries(listener, "filterChains").chain(fallback)
}

fn is_black_hole(filter: &Value) -> bool {
    filter["typedConfig"].to_string().contains(BLACK_HOLE)
}

fn kind(listener: &Value) -> &'static str {
    let (mut http, mut tcp) = (false, false);
    for filter in chains(listener).flat_map(|chain| entries(chain, "filters")) {
        match filter["name"].as_str() {
            Some(HTTP) => http = true,
            Some(TCP) if !is_black_hole(filter) => tcp = true,
            _ => {}
        }
    }
    match (http, tcp) {
        (true, true) => "HTTP+TCP",
        (true, false) => "HTTP",
        (false, true) => "TCP",
        (false, false) => "UNKNOWN",
    }
}

/// As a list of messages, in Envoy's order.
pub(super) fn list(dump: &Dump, filter: &Filter) -> Result<Value, String> {
    let listeners = dump.listeners()?.into_iter();
    Ok(listeners.filter(|one| filter.takes(one)).cloned().collect())
}

/// As a table: a line for each filter chain, or with `verbose` off, for each listener.
pub(super) fn table(
    dump: &Dump,
    filter: &Filter,
    verbose: bool,
    with_names: bool,
) -> Result<String, String> {
    let mut listeners = dump.listeners()?;
    listeners.retain(|one| filter.takes(one));
    listeners.sort_by_key(|one| (port(one), addresses(one).swap_remove(0), kind(one)));
    let mut header = vec!["ADDRESSES", "PORT"];
    if with_names {
        header.insert(0, "NAME");
    }
    header.extend(match verbose {
        true => &["MATCH", "DESTINATION"][..],
        false => &["TYPE"],
    });
    let mut table = Table::new(1, &header);
    for listener in listeners {
        let name = listener["name"].as_str().unwrap_or_default();
        let first = with_names.then(|| format!("listener/{name}"));
        let shown = [addresses(listener).join(","), port(listener).to_string()];
        if verbose {
            let described = chains(listener).map(|chain| (matches(chain), destination(chain)));
            let mut described: Vec<(String, String)> = described.collect();
            described.sort_by(|a, b| b.1.cmp(&a.1));
            for (matches, destination) in described {
                let cells = first.clone().into_iter().chain(shown.clone());
                table.row(cells.chain([matches, destination]));
            }
        } else {
            let cells = first.into_iter().chain(shown);
            table.row(cells.chain([kind(listener).to_owned()]));
        }
    }
    Ok(table.print())
}

/// Sets of application protocols that have a name.
const PROTOCOLS: [(&str, &[&str]); 4] = [
    (
        "App: HTTP TLS",
        &[
            "http/1.0",
            "http/1.1",
            "h2c",
            "istio-http/1.0",
            "istio-http/1.1",
            "istio-h2",
        ],
    ),
    (
        "App: Istio HTTP Plain",
        &["istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"],
    ),
    ("App: TCP TLS", &["istio-peer-exchange", "istio"]),
    ("App: HTTP", &["http/1.0", "http/1.1", "h2c"]),
];

fn texts<'a>(of: &'a Value, key: &str) -> Vec<&'a str> {
    entries(of, key).filter_map(Value::as_str).collect()
}

fn matches(chain: &Value) -> String {
    let of = &chain["filterChainMatch"];
    let mut said = Vec::new();
    let names = texts(of, "serverNames");
    if !names.is_empty() {
        said.push(format!("SNI: {}", names.join(",")));
    }
    if let Some(transport) = of["transportProtocol"].as_str() {
        said.push(format!("Trans: {transport}"));
    }
    let protocols = texts(of, "applicationProtocols");
    if !protocols.is_empty() {
        let named = PROTOCOLS.iter().find(|(_, set)| *set == protocols);
        said.push(match named {
            Some((name, _)) => (*name).to_owned(),
            None => format!("App: {}", protocols.join(",")),
        });
    }
    let port = of["destinationPort"].as_u64();
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let ranges: Vec<String> = entries(of, "prefixRanges")
        .map(|range| {
            let prefix = range["addressPrefix"].as_str().unwrap_or_default();
            format!(
                "{prefix}/{}",
                range["prefixLen"].as_u64().unwrap_or_default()
            )
        })
        .collect();
    if !ranges.is_empty() {
        said.push(format!("Addr: {}{port}", ranges.join(",")));
    } else if !port.is_empty() {
        said.push(format!("Addr: *{port}"));
    }
    match said.is_empty() {
        true => "ALL".to_owned(),
        false => said.join("; "),
    }
}

fn destination(chain: &Value) -> String {
    for filter in entries(chain, "filters") {
        let config = &filter["typedConfig"];
        match filter["name"].as_str() {
            Some(HTTP) => {
                if !config["routeConfig"].is_null() {
                    return inline_routes(&config["routeConfig"]);
                }
                return match config["rds"]["routeConfigName"].as_str() {
                    Some(name) => format!("Route: {name}"),
                    None => "HTTP".to_owned(),
                };
            }
            Some(TCP) if !is_black_hole(filter) => {
                return cluster(config["cluster"].as_str().unwrap_or_default());
            }
            _ => {}
        }
    }
    "Non-HTTP/Non-TCP".to_owned()
}

/// The built-in ones say by their name what they are.
fn cluster(name: &str) -> String {
    match name.contains("Cluster") {
        true => name.to_owned(),
        false => format!("Cluster: {name}"),
    }
}

fn inline_routes(config: &Value) -> String {
    let hosts: Vec<&Value> = entries(config, "virtualHosts").collect();
    if let [host] = hosts[..]
        && texts(host, "domains") == ["*"]
        && let [route] = entries(host, "routes").collect::<Vec<_>>()[..]
        && route["match"]["prefix"] == "/"
        && let Some(name) = route["route"]["cluster"].as_str()
    {
        return cluster(name);
    }
    let described = hosts.iter().map(|host| {
        let routes: Vec<String> = entries(host, "routes")
            .map(|route| describe_match(&route["match"]))
            .collect();
        let routes = routes.join(", ");
        match texts(host, "domains")[..] {
            ["*"] | [] => routes,
            ref domains => format!("{} {routes}", domains.join("/")),
        }
    });
    format!("Inline Route: {}", described.collect::<Vec<_>>().join("; "))
}
