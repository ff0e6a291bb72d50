//! The mesh configuration as upstream prints it whole: with the defaults of fields that injection does not read, and
//! without fields that have protobuf's own default.

use serde_json::{Map, Value, json};

use super::MeshConfig;

/// Fields of the mesh configuration that are printed even when false, since they may also be absent.
const WRAPPED: [&str; 4] = [
    "enableAutoMtls",
    "enablePrometheusMerge",
    "dnsRefreshRate",
    "verifyCertificateAtClient",
];
/// The values of enumerations that protobuf counts as nothing, by field.
const ZEROES: [(&str, &str); 4] = [
    ("accessLogEncoding", "TEXT"),
    ("h2UpgradePolicy", "DO_NOT_UPGRADE"),
    ("ingressControllerMode", "UNSPECIFIED"),
    ("pathNormalization", "DEFAULT"),
];

impl MeshConfig {
    /// As `/debug/mesh` prints it.
    pub fn whole(&self) -> Value {
        let mut whole = rest();
        for (name, value) in &self.0 {
            match (name.as_str(), whole.get_mut(name), value) {
                ("extensionProviders", Some(Value::Array(known)), Value::Array(own)) => {
                    provide(known, own);
                }
                // It takes the place of the default as a whole, but protobuf does not print nothing.
                ("inboundTrafficPolicy" | "outboundTrafficPolicy", _, Value::Object(policy)) => {
                    let mut policy = policy.clone();
                    let zero = match name.as_str() {
                        "inboundTrafficPolicy" => "PASSTHROUGH",
                        _ => "REGISTRY_ONLY",
                    };
                    policy.retain(|field, value| field != "mode" || value != zero);
                    whole.insert(name.clone(), Value::Object(policy));
                }
                (_, _, value) if is_nothing(name, value) => {
                    whole.remove(name);
                }
                _ => {
                    whole.insert(name.clone(), value.clone());
                }
            }
        }
        Value::Object(whole)
    }
}

/// Defaults of what injection does not read.
fn rest() -> Map<String, Value> {
    let rest = json!({
        "protocolDetectionTimeout": "0s",
        "localityLbSetting": {"enabled": true},
        "defaultServiceExportTo": ["*"],
        "defaultVirtualServiceExportTo": ["*"],
        "defaultDestinationRuleExportTo": ["*"],
        "dnsRefreshRate": "60s",
        "defaultProviders": {},
        "extensionProviders": [
            {"name": "prometheus", "prometheus": {}},
            {"name": "stackdriver", "stackdriver": {}},
            {"name": "envoy", "envoyFileAccessLog": {"path": "/dev/stdout"}},
        ],
    });
    match rest {
        Value::Object(rest) => rest,
        _ => Map::new(),
    }
}

/// Providers replace those of the same name and come after the others.
fn provide(known: &mut Vec<Value>, own: &[Value]) {
    for provider in own {
        match known
            .iter_mut()
            .find(|known| known["name"] == provider["name"])
        {
            Some(known) => known.clone_from(provider),
            None => known.push(provider.clone()),
        }
    }
}

fn is_nothing(name: &str, value: &Value) -> bool {
    if WRAPPED.contains(&name) {
        return value.is_null();
    }
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || ZEROES.contains(&(name, text.as_str())),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::MeshConfig;

    fn whole(text: &str) -> Value {
        MeshConfig::parse(text).expect("YAML").whole()
    }

    #[test]
    fn nothing_written_has_every_default() {
        let found = whole("");
        for (field, expected) in [
            ("connectTimeout", json!("10s")),
            ("defaultServiceExportTo", json!(["*"])),
            ("dnsRefreshRate", json!("60s")),
            ("enableAutoMtls", json!(true)),
            ("enableTracing", json!(true)),
            // Its mode is protobuf's own default.
            ("inboundTrafficPolicy", json!({})),
            ("outboundTrafficPolicy", json!({"mode": "ALLOW_ANY"})),
            ("protocolDetectionTimeout", json!("0s")),
            ("rootNamespace", json!("istio-system")),
        ] {
            assert_eq!(found[field], expected, "{field}");
        }
        assert_eq!(found["defaultConfig"]["statNameLength"], 189);
        let providers = found["extensionProviders"].as_array().expect("a list");
        let names: Vec<&Value> = providers.iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["prometheus", "stackdriver", "envoy"]);
    }

    #[test]
    fn what_is_written_replaces_defaults_and_nothing_is_not_printed() {
        let found = whole(
            "enableTracing: false\nenableAutoMtls: false\naccessLogFile: ''\naccessLogEncoding: TEXT\n\
             outboundTrafficPolicy: {mode: REGISTRY_ONLY}\ndefaultServiceExportTo: ['.']\n\
             defaultConfig: {statusPort: 1}\nlocalityLbSetting: {enabled: false}\n",
        );
        for (field, expected) in [
            ("enableTracing", Value::Null),
            ("enableAutoMtls", json!(false)),
            ("accessLogFile", Value::Null),
            ("accessLogEncoding", Value::Null),
            ("outboundTrafficPolicy", json!({})),
            ("defaultServiceExportTo", json!(["."])),
            ("localityLbSetting", json!({"enabled": false})),
        ] {
            assert_eq!(found[field], expected, "{field}");
        }
        let proxy = &found["defaultConfig"];
        assert_eq!(
            (&proxy["statusPort"], &proxy["drainDuration"]),
            (&json!(1), &json!("45s"))
        );
    }

    #[test]
    fn providers_are_added_to_those_that_are_always_there() {
        let found = whole(
            "extensionProviders:\n- {name: envoy, envoyFileAccessLog: {path: /tmp/log}}\n\
             - {name: mine, zipkin: {service: z, port: 1}}\n",
        );
        let providers = found["extensionProviders"].as_array().expect("a list");
        assert_eq!(providers.len(), 4);
        assert_eq!(providers[2]["envoyFileAccessLog"]["path"], "/tmp/log");
        assert_eq!(providers[3]["name"], "mine");
    }
}
