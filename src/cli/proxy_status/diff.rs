//! What an Envoy has beside what its control plane says: clusters, listeners and routes, by name.

use std::collections::BTreeMap;

use serde_json::Value;
use similar::TextDiff;

use crate::proxy_config::camel;

/// Lines around a difference.
const CONTEXT: usize = 7;

/// Compares two config dumps.
///
/// # Errors
/// When one of them is none.
pub(super) fn compare(istiod: &[u8], envoy: &[u8]) -> Result<String, String> {
    let istiod = configs("the control plane's", istiod)?;
    let envoy = configs("Envoy's", envoy)?;
    let mut text = String::new();
    for (headline, part, list, at) in [
        (
            "Clusters",
            "ClustersConfigDump",
            "dynamicActiveClusters",
            &["cluster"][..],
        ),
        (
            "Listeners",
            "ListenersConfigDump",
            "dynamicListeners",
            &["activeState", "listener"],
        ),
        (
            "Routes",
            "RoutesConfigDump",
            "dynamicRouteConfigs",
            &["routeConfig"],
        ),
    ] {
        let wanted = resources(&istiod, part, list, at);
        let has = resources(&envoy, part, list, at);
        let wanted_text = print(&wanted);
        let has_text = print(&has);
        if wanted_text == has_text {
            text += &format!("{headline} Match{}\n", loaded(&envoy, part, list));
        } else {
            let diff = TextDiff::from_lines(&wanted_text, &has_text);
            let mut unified = diff.unified_diff();
            let shown = unified.context_radius(CONTEXT);
            let shown = shown.header(&format!("Istiod {headline}"), &format!("Envoy {headline}"));
            text += &format!(
                "{headline} Don't Match{}\n{shown}",
                loaded(&envoy, part, list)
            );
        }
    }
    Ok(text)
}

fn configs(whose: &str, text: &[u8]) -> Result<Vec<Value>, String> {
    let value: Value = serde_json::from_slice(text)
        .map_err(|error| format!("{whose} config dump is no JSON: {error}"))?;
    match camel(value).get_mut("configs").map(Value::take) {
        Some(Value::Array(configs)) => Ok(configs),
        _ => Err(format!("{whose} config dump has no list `configs`")),
    }
}

fn part_of<'a>(configs: &'a [Value], part: &str) -> Option<&'a Value> {
    configs.iter().find(|config| {
        let of = config["@type"].as_str().unwrap_or_default();
        of.ends_with(&format!(".{part}"))
    })
}

fn resources(configs: &[Value], part: &str, list: &str, at: &[&str]) -> BTreeMap<String, Value> {
    let entries = part_of(configs, part).and_then(|part| part[list].as_array());
    let found = entries.into_iter().flatten().filter_map(|entry| {
        let resource = at.iter().try_fold(entry, |value, key| value.get(key))?;
        let name = resource["name"].as_str().unwrap_or_default();
        let mut resource = sorted(resource);
        // Envoy takes the most specific domain, whatever the order, and shows its own.
        if let Some(Value::Array(hosts)) = resource.get_mut("virtualHosts") {
            hosts.sort_by_key(|host| host["name"].as_str().map(str::to_owned));
        }
        Some((name.to_owned(), resource))
    });
    found.collect()
}

/// When Envoy took the newest of a part.
fn loaded(configs: &[Value], part: &str, list: &str) -> String {
    let entries = part_of(configs, part).and_then(|part| part[list].as_array());
    let times = entries.into_iter().flatten().filter_map(|entry| {
        let own = entry["lastUpdated"].as_str();
        own.or_else(|| entry["activeState"]["lastUpdated"].as_str())
    });
    match times.max() {
        Some(at) => format!(" (last loaded at {at})"),
        None => String::new(),
    }
}

fn print(resources: &BTreeMap<String, Value>) -> String {
    let texts = resources.values().map(|resource| {
        serde_json::to_string_pretty(resource).expect("a JSON value prints") + "\n"
    });
    texts.collect()
}

/// Keys in alphabetical order, and whole numbers without a fraction: both sides print in ways of their own.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, Value> = fields
                .iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            let pairs = sorted.into_iter().map(|(key, value)| (key.clone(), value));
            Value::Object(pairs.collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => Value::from(float as i64),
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::compare;

    fn dump(cluster: Value) -> Vec<u8> {
        let clusters = json!({
            "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
            "dynamic_active_clusters": [{"cluster": cluster, "last_updated": "2026-01-01T00:00:00Z"}],
        });
        json!({"configs": [clusters]}).to_string().into_bytes()
    }

    #[test]
    fn spelling_and_order_make_no_difference() {
        let istiod = dump(json!({"name": "a", "connectTimeout": "1s", "share": 100.0}));
        let envoy = dump(json!({"connect_timeout": "1s", "name": "a", "share": 100}));
        let text = compare(&istiod, &envoy).expect("dumps");
        assert_eq!(
            text,
            "Clusters Match (last loaded at 2026-01-01T00:00:00Z)\nListeners Match\nRoutes Match\n"
        );
    }

    #[test]
    fn differences_are_shown_with_their_lines() {
        let istiod = dump(json!({"name": "a", "connectTimeout": "1s"}));
        let envoy = dump(json!({"name": "a", "connect_timeout": "2s"}));
        let text = compare(&istiod, &envoy).expect("dumps");
        assert!(text.starts_with("Clusters Don't Match"), "{text}");
        assert!(text.contains("-  \"connectTimeout\": \"1s\""), "{text}");
        assert!(text.contains("+  \"connectTimeout\": \"2s\""), "{text}");
    }
}
