//! `proxy-config bootstrap`: what Envoy was started with, or only its versions; and `ecds`.

use serde_json::Value;

use super::dump::{Dump, entries};
use crate::table::Table;

/// The message of the dump.
pub(super) fn message(dump: &Dump) -> Result<Value, String> {
    let mut part = dump.part("BootstrapConfigDump")?.clone();
    if let Value::Object(fields) = &mut part {
        fields.remove("@type");
    }
    Ok(part)
}

/// Versions of Istio and Envoy, one a line.
pub(super) fn versions(dump: &Dump) -> Result<String, String> {
    let node = &dump.part("BootstrapConfigDump")?["bootstrap"]["node"];
    let metadata = &node["metadata"];
    let sha = metadata["ISTIO_PROXY_SHA"].as_str().unwrap_or_default();
    let sha = sha.split(':').nth(1).unwrap_or(sha);
    let build = &node["userAgentBuildVersion"];
    let number = |key: &str| build["version"][key].as_u64().unwrap_or_default();
    let (major, minor, patch) = (
        number("majorNumber"),
        number("minorNumber"),
        number("patch"),
    );
    let mut envoy = format!("{major}.{minor}.{patch}");
    for (mark, key) in [
        ("-", "build.label"),
        ("/", "revision.status"),
        ("/", "build.type"),
        ("/", "ssl.version"),
    ] {
        if let Some(text) = build["metadata"][key].as_str() {
            envoy += mark;
            envoy += text;
        }
    }
    let lines = [
        (
            "Istio Version:",
            metadata["ISTIO_VERSION"].as_str().unwrap_or_default(),
        ),
        ("Istio Proxy Version:", sha),
        ("Envoy Version:", &envoy),
    ];
    let known: Vec<_> = lines.iter().filter(|(_, text)| !text.is_empty()).collect();
    let width = known
        .iter()
        .map(|(name, _)| name.len() + 1)
        .max()
        .unwrap_or_default();
    let lines = known
        .iter()
        .map(|(name, text)| format!("{name:width$}{text}\n"));
    Ok(lines.collect())
}

/// Extension configurations as a message.
pub(super) fn extensions_message(dump: &Dump) -> Result<Value, String> {
    dump.part("EcdsConfigDump").cloned()
}

/// Extension configurations as a table.
pub(super) fn extensions(dump: &Dump) -> Result<String, String> {
    let part = dump.part("EcdsConfigDump")?;
    let mut rows: Vec<(String, String)> = entries(part, "ecdsFilters")
        .map(|entry| {
            let filter = &entry["ecdsFilter"];
            let of = filter["typedConfig"]["@type"].as_str().unwrap_or_default();
            let of = of.strip_prefix("type.googleapis.com/").unwrap_or(of);
            let name = filter["name"].as_str().unwrap_or_default();
            (of.to_owned(), name.to_owned())
        })
        .collect();
    rows.sort();
    let mut table = Table::new(5, &["ECDS NAME", "TYPE"]);
    for (of, name) in rows {
        table.row([name, of]);
    }
    Ok(table.print())
}
