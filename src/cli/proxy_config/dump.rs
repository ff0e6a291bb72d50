//! Envoy's `config_dump` as JSON: its parts, and its words in the spelling of protobuf's JSON.

use serde_json::{Map, Value};

/// A dump, read.
#[derive(Debug)]
pub(super) struct Dump {
    configs: Vec<Value>,
}

impl Dump {
    /// Reads the text of a dump.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let mut value: Value = serde_json::from_slice(text)
            .map_err(|error| format!("the config dump is no JSON: {error}"))?;
        match value.get_mut("configs").map(Value::take) {
            Some(Value::Array(configs)) => Ok(Dump {
                configs: configs.into_iter().map(camel).collect(),
            }),
            _ => Err(
                "the text is no config dump of Envoy: it has no list `configs` (try /config_dump)"
                    .to_owned(),
            ),
        }
    }

    /// The part whose type ends with `name`, for example `ClustersConfigDump`.
    ///
    /// # Errors
    /// When the dump has none.
    pub fn part(&self, name: &str) -> Result<&Value, String> {
        let of = |config: &&Value| {
            let of = config["@type"].as_str().unwrap_or_default();
            of.strip_suffix(name)
                .is_some_and(|rest| rest.ends_with('.'))
        };
        self.configs
            .iter()
            .find(of)
            .ok_or_else(|| format!("the config dump has no {name}"))
    }

    /// What Envoy has of a kind, told by the control plane first, then its own.
    pub fn clusters(&self) -> Result<Vec<&Value>, String> {
        let part = self.part("ClustersConfigDump")?;
        let found = entries(part, "dynamicActiveClusters")
            .chain(entries(part, "staticClusters"))
            .map(|entry| &entry["cluster"]);
        Ok(present(found))
    }

    /// Listeners that are in force.
    pub fn listeners(&self) -> Result<Vec<&Value>, String> {
        let part = self.part("ListenersConfigDump")?;
        let found = entries(part, "dynamicListeners")
            .map(|entry| &entry["activeState"]["listener"])
            .chain(entries(part, "staticListeners").map(|entry| &entry["listener"]));
        Ok(present(found))
    }

    /// Route configurations.
    pub fn routes(&self) -> Result<Vec<&Value>, String> {
        let part = self.part("RoutesConfigDump")?;
        let found = entries(part, "dynamicRouteConfigs")
            .chain(entries(part, "staticRouteConfigs"))
            .map(|entry| &entry["routeConfig"]);
        Ok(present(found))
    }

    /// Endpoints by cluster; none when the dump was made without them.
    pub fn endpoints(&self) -> Vec<&Value> {
        let Ok(part) = self.part("EndpointsConfigDump") else {
            return Vec::new();
        };
        let found = entries(part, "dynamicEndpointConfigs")
            .chain(entries(part, "staticEndpointConfigs"))
            .map(|entry| &entry["endpointConfig"]);
        present(found)
    }
}

/// The items of a list, none when it is absent.
pub(super) fn entries<'a>(of: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    of[key].as_array().into_iter().flatten()
}

fn present<'a>(found: impl Iterator<Item = &'a Value>) -> Vec<&'a Value> {
    found.filter(|value| !value.is_null()).collect()
}

/// Keys below which names belong to users or to other schemas.
const VERBATIM: [&str; 5] = [
    "filterMetadata",
    "jsonFormat",
    "staticLayer",
    "matchIfKeyInStruct",
    "dynamicParameters",
];

/// Envoy's admin interface spells fields as in .proto files; istioctl, and so those who read its output, as
/// protobuf's JSON does.
pub(crate) fn camel(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let of = fields.get("@type").and_then(Value::as_str);
            let is_struct = of.is_some_and(|of| of.ends_with("TypedStruct"));
            let is_node = ["user_agent_name", "userAgentName"]
                .iter()
                .any(|key| fields.contains_key(*key));
            let is_build = fields.contains_key("version") && fields.contains_key("metadata");
            let converted = fields.into_iter().map(|(key, value)| {
                let key = camel_key(key);
                let verbatim = VERBATIM.contains(&key.as_str())
                    || (is_struct && key == "value")
                    || ((is_node || is_build) && key == "metadata");
                let value = match verbatim {
                    true => value,
                    false => camel(value),
                };
                (key, value)
            });
            Value::Object(converted.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(camel).collect()),
        other => other,
    }
}

/// A field's name; names of extensions and labels have other characters and stay.
fn camel_key(key: String) -> String {
    let is_field = key
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !is_field || !key.contains('_') {
        return key;
    }
    let mut camel = String::with_capacity(key.len());
    let mut upper = false;
    for c in key.chars() {
        match c {
            '_' => upper = true,
            _ if upper => {
                camel.push(c.to_ascii_uppercase());
                upper = false;
            }
            _ => camel.push(c),
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Dump, camel};

    fn check(envoy: Value, expected: Value) {
        assert_eq!(camel(envoy.clone()), expected, "{envoy}");
    }

    #[test]
    fn fields_are_spelled_as_in_protobufs_json() {
        check(
            json!({"lb_endpoints": [{"health_status": "HEALTHY"}]}),
            json!({"lbEndpoints": [{"healthStatus": "HEALTHY"}]}),
        );
        check(
            json!({"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"use_downstream_protocol_config": {}}}}),
            json!({"typedExtensionProtocolOptions": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"useDownstreamProtocolConfig": {}}}}),
        );
    }

    #[test]
    fn words_of_users_stay() {
        for same in [
            json!({"filterMetadata": {"istio": {"default_original_port": 80}}}),
            json!({"filter_metadata": {"istio": {"default_original_port": 80}}}),
        ] {
            let kept = camel(same);
            assert_eq!(kept["filterMetadata"]["istio"]["default_original_port"], 80);
        }
        check(
            json!({"json_format": {"bytes_sent": "%BYTES_SENT%"}}),
            json!({"jsonFormat": {"bytes_sent": "%BYTES_SENT%"}}),
        );
        check(
            json!({"user_agent_name": "envoy", "metadata": {"an_own": 1}}),
            json!({"userAgentName": "envoy", "metadata": {"an_own": 1}}),
        );
    }

    #[test]
    fn what_is_no_dump_is_told() {
        let error = Dump::read(b"{}").expect_err("no dump");
        assert!(error.contains("no list `configs`"), "{error}");
        let error = Dump::read(b"<html>").expect_err("no JSON");
        assert!(error.contains("no JSON"), "{error}");
        let empty = Dump::read(br#"{"configs": []}"#).expect("a dump");
        let error = empty.clusters().expect_err("no clusters");
        assert_eq!(error, "the config dump has no ClustersConfigDump");
    }
}
