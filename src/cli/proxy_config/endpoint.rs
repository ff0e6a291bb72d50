//! `proxy-config endpoint`: from Envoy's `/clusters`, which knows how each endpoint is doing, or (`eds`, `all`)
//! from what the control plane told.

use serde_json::Value;

use super::cluster::parse;
use super::dump::{Dump, camel, entries};
use crate::table::Table;

/// Which endpoints are shown.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub address: Option<String>,
    pub port: Option<u16>,
    pub cluster: Option<String>,
    /// `HEALTHY` and the like, in any case.
    pub status: Option<String>,
}

impl Filter {
    fn takes(&self, addresses: &[String], port: u64, cluster: &str, status: &str) -> bool {
        let same = |a: &Option<String>, b: &str| {
            a.as_deref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(b))
        };
        let address = |wanted: &str| {
            addresses
                .iter()
                .any(|address| address.eq_ignore_ascii_case(wanted))
        };
        self.address.as_deref().is_none_or(address)
            && self.port.is_none_or(|wanted| port == u64::from(wanted))
            && same(&self.cluster, cluster)
            && same(&self.status, status)
    }
}

/// The text of `/clusters?format=json`, read.
#[derive(Debug)]
pub(super) struct Clusters(Vec<Value>);

impl Clusters {
    /// Reads it.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let mut value: Value = serde_json::from_slice(text)
            .map_err(|error| format!("the list of clusters is no JSON: {error}"))?;
        match value.get_mut("cluster_statuses").map(Value::take) {
            Some(Value::Array(clusters)) => Ok(Clusters(clusters.into_iter().map(camel).collect())),
            _ => Err(
                "the text is no list of Envoy's clusters: it has no `cluster_statuses` (try \
                 /clusters?format=json)"
                    .to_owned(),
            ),
        }
    }

    /// The clusters that have an endpoint to show, as a list of messages.
    pub fn list(&self, filter: &Filter) -> Value {
        let shown = self.0.iter().filter(|cluster| {
            entries(cluster, "hostStatuses").any(|host| taken(filter, cluster, host))
        });
        shown.cloned().collect()
    }

    /// As a table.
    pub fn table(&self, filter: &Filter) -> String {
        let mut found = Vec::new();
        for cluster in &self.0 {
            for host in entries(cluster, "hostStatuses") {
                if taken(filter, cluster, host) {
                    found.push((
                        address(&host["address"]),
                        port(&host["address"]),
                        name(cluster),
                        host,
                    ));
                }
            }
        }
        found.sort_by(|a, b| (&a.0, a.1, a.2).cmp(&(&b.0, b.1, b.2)));
        let mut table = Table::new(5, &["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"]);
        for (address, port, cluster, host) in found {
            let endpoint = match port {
                0 => address,
                _ => format!("{address}:{port}"),
            };
            let check = match host["healthStatus"]["failedOutlierCheck"].as_bool() {
                Some(true) => "FAILED",
                _ => "OK",
            };
            table.row([
                endpoint,
                status(host).to_owned(),
                check.to_owned(),
                cluster.to_owned(),
            ]);
        }
        table.print()
    }
}

fn taken(filter: &Filter, cluster: &Value, host: &Value) -> bool {
    let of = &host["address"];
    filter.takes(&[address(of)], port(of), name(cluster), status(host))
}

fn name(cluster: &Value) -> &str {
    cluster["name"].as_str().unwrap_or_default()
}

fn status(host: &Value) -> &str {
    let status = host["healthStatus"]["edsHealthStatus"].as_str();
    status.unwrap_or("UNKNOWN")
}

fn port(of: &Value) -> u64 {
    of["socketAddress"]["portValue"]
        .as_u64()
        .unwrap_or_default()
}

fn address(of: &Value) -> String {
    let internal = &of["envoyInternalAddress"];
    if let Some(address) = of["socketAddress"]["address"].as_str() {
        address.to_owned()
    } else if let Some(path) = of["pipe"]["path"].as_str() {
        format!("unix://{path}")
    } else if let Some(listener) = internal["serverListenerName"].as_str() {
        let id = internal["endpointId"].as_str().unwrap_or_default();
        format!("envoy://{listener}/{id}")
    } else {
        "unknown".to_owned()
    }
}

/// `address:port` of an endpoint as it was told, and its further addresses.
fn told_addresses(endpoint: &Value) -> Vec<String> {
    let of = &endpoint["endpoint"];
    let further = entries(of, "additionalAddresses").map(|entry| &entry["address"]);
    let all = std::iter::once(&of["address"]).chain(further);
    all.map(|one| match port(one) {
        0 => {
            let text = address(one);
            text.strip_prefix("unix://").unwrap_or(&text).to_owned()
        }
        number => format!("{}:{number}", address(one)),
    })
    .collect()
}

/// What the control plane told, with only the endpoints that `filter` takes; clusters without any are left out.
pub(super) fn assignments(dump: &Dump, filter: &Filter) -> Vec<Value> {
    let mut found = Vec::new();
    for assignment in dump.endpoints() {
        let cluster = assignment["clusterName"].as_str().unwrap_or_default();
        let mut kept = assignment.clone();
        let mut count = 0;
        let places = kept["endpoints"].as_array_mut().into_iter().flatten();
        for endpoints in places.filter_map(|place| place.get_mut("lbEndpoints")) {
            if let Value::Array(endpoints) = endpoints {
                endpoints.retain(|endpoint| {
                    let port = port(&endpoint["endpoint"]["address"]);
                    let status = endpoint["healthStatus"].as_str().unwrap_or("UNKNOWN");
                    filter.takes(&told_addresses(endpoint), port, cluster, status)
                });
                count += endpoints.len();
            }
        }
        if count > 0 {
            found.push(kept);
        }
    }
    let key = |assignment: &Value| {
        assignment["clusterName"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    found.sort_by(|a, b| parse(&key(a)).cmp(&parse(&key(b))));
    found
}

/// The same as a table.
pub(super) fn assignments_table(dump: &Dump, filter: &Filter, with_names: bool) -> String {
    let mut table = Table::new(5, &["NAME", "STATUS", "LOCALITY", "CLUSTER"]);
    for assignment in assignments(dump, filter) {
        let cluster = assignment["clusterName"].as_str().unwrap_or_default();
        for place in entries(&assignment, "endpoints") {
            for endpoint in entries(place, "lbEndpoints") {
                let addresses = told_addresses(endpoint).join(",");
                let addresses = match with_names {
                    true => format!("endpoint/{addresses}"),
                    false => addresses,
                };
                let status = endpoint["healthStatus"].as_str().unwrap_or("UNKNOWN");
                table.row([
                    addresses,
                    status.to_owned(),
                    locality(&place["locality"]),
                    cluster.to_owned(),
                ]);
            }
        }
    }
    table.print()
}

fn locality(of: &Value) -> String {
    let parts = ["region", "zone", "subZone"].map(|key| of[key].as_str().unwrap_or_default());
    let known = parts
        .iter()
        .position(|part| part.is_empty())
        .unwrap_or(parts.len());
    parts[..known].join("/")
}
