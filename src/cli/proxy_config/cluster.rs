//! `proxy-config cluster`, and the names of clusters.

use serde_json::Value;

use super::dump::Dump;
use super::route::managed_by;
use crate::table::Table;

/// Which clusters are shown.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// Part of the name.
    pub fqdn: Option<String>,
    pub port: Option<u16>,
    /// Part of the name.
    pub subset: Option<String>,
    /// Part of the name.
    pub direction: Option<String>,
}

impl Filter {
    fn takes(&self, name: &str) -> bool {
        let has = |part: &Option<String>| part.as_deref().is_none_or(|part| name.contains(part));
        let port = self.port.map(|port| format!("|{port}|"));
        has(&self.fqdn) && has(&self.subset) && has(&self.direction) && has(&port)
    }
}

/// What a name like `outbound|80|v1|reviews.shop.svc.cluster.local` says.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name<'a> {
    pub fqdn: &'a str,
    pub subset: &'a str,
    pub port: u32,
    pub direction: &'a str,
}

/// Reads a name; others are a host only.
pub(super) fn parse(name: &str) -> Name<'_> {
    match name.split('|').collect::<Vec<_>>()[..] {
        [direction, port, subset, fqdn, ..] => Name {
            fqdn,
            subset,
            port: port.parse().unwrap_or_default(),
            direction,
        },
        _ => Name {
            fqdn: name,
            ..Name::default()
        },
    }
}

pub(super) fn name(of: &Value) -> &str {
    of["name"].as_str().unwrap_or_default()
}

fn shown<'a>(dump: &'a Dump, filter: &Filter) -> Result<Vec<&'a Value>, String> {
    let mut clusters = dump.clusters()?;
    clusters.retain(|cluster| filter.takes(name(cluster)));
    clusters.sort_by(|a, b| parse(name(a)).cmp(&parse(name(b))));
    Ok(clusters)
}

/// As a list of messages.
pub(super) fn list(dump: &Dump, filter: &Filter) -> Result<Value, String> {
    Ok(shown(dump, filter)?.into_iter().cloned().collect())
}

/// As a table; `with_names` puts each one's full name first.
pub(super) fn table(dump: &Dump, filter: &Filter, with_names: bool) -> Result<String, String> {
    let header = [
        "NAME",
        "SERVICE FQDN",
        "PORT",
        "SUBSET",
        "DIRECTION",
        "TYPE",
        "DESTINATION RULE",
    ];
    let mut table = Table::new(5, &header[usize::from(!with_names)..]);
    for cluster in shown(dump, filter)? {
        let full = name(cluster);
        let Name {
            fqdn,
            subset,
            port,
            direction,
        } = parse(full);
        let or_dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
        let port = match full.contains('|') {
            true => port.to_string(),
            false => "-".to_owned(),
        };
        let of = cluster["type"].as_str().unwrap_or("STATIC");
        let cells = [
            fqdn.to_owned(),
            port,
            or_dash(subset),
            or_dash(direction),
            of.to_owned(),
            managed_by(cluster),
        ];
        let first = with_names.then(|| format!("cluster/{full}"));
        table.row(first.into_iter().chain(cells));
    }
    Ok(table.print())
}
