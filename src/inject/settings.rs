//! What an installation says about injection: ConfigMap `istio-sidecar-injector`, keys `config` and
//! `values`. The templates of Ferrosail itself are always there; those of the user go on top.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::decide::{Policy, Selector, Unasked};
use crate::mesh_config::{MeshError, object};
use crate::template::{Template, TemplateError};

/// Name of the template that makes a sidecar.
pub const SIDECAR: &str = "sidecar";

const PARTS: &str = include_str!("../../config/injection/parts.yaml");
const BUILT_IN: [(&str, &str); 4] = [
    (SIDECAR, include_str!("../../config/injection/sidecar.yaml")),
    (
        "gateway",
        include_str!("../../config/injection/gateway.yaml"),
    ),
    (
        "grpc-agent",
        include_str!("../../config/injection/grpc-agent.yaml"),
    ),
    (
        "grpc-simple",
        include_str!("../../config/injection/grpc-simple.yaml"),
    ),
];

/// A setting that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No YAML, or not of the form.
    #[error(transparent)]
    Text(#[from] MeshError),
    /// A field has another form than the one that it is to have.
    #[error("the injection configuration: {0}")]
    Form(String),
    /// The policy is none.
    #[error("the injection configuration: policy is {0:?}, expected enabled or disabled")]
    Policy(String),
    /// A template does not parse.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// The settings, ready for use.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether pods are injected.
    pub policy: Policy,
    /// What templates see as `.Values`.
    pub values: Value,
    /// Templates as they are written; our own that nobody replaces are not among them.
    pub written: BTreeMap<String, String>,
    pub(crate) default_templates: Vec<String>,
    pub(crate) aliases: BTreeMap<String, Vec<String>>,
    pub(crate) templates: BTreeMap<String, Template>,
    pub(crate) injected_annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    policy: Option<String>,
    default_templates: Option<Vec<String>>,
    templates: Option<BTreeMap<String, String>>,
    aliases: Option<BTreeMap<String, Vec<String>>>,
    never_inject_selector: Option<Vec<Selector>>,
    always_inject_selector: Option<Vec<Selector>>,
    injected_annotations: Option<BTreeMap<String, String>>,
}

impl Settings {
    /// Reads both keys, `config` as YAML, `values` as JSON or YAML.
    ///
    /// # Errors
    /// The first thing that is wrong; nothing of it is then to be used.
    pub fn parse(config: &str, values: &str) -> Result<Self, SettingsError> {
        let values = Value::Object(object("the injection values", values)?);
        let config = object("the injection configuration", config)?;
        let config: Config = serde_json::from_value(Value::Object(config))
            .map_err(|error| SettingsError::Form(error.to_string()))?;
        let unasked = match config.policy.as_deref() {
            None | Some("enabled") => Unasked::Enabled,
            Some("disabled") => Unasked::Disabled,
            Some(other) => return Err(SettingsError::Policy(other.to_owned())),
        };
        let names = config.default_templates.unwrap_or_default();
        Ok(Settings {
            policy: Policy {
                unasked,
                never: config.never_inject_selector.unwrap_or_default(),
                always: config.always_inject_selector.unwrap_or_default(),
            },
            default_templates: if names.is_empty() {
                vec![SIDECAR.to_owned()]
            } else {
                names
            },
            written: config.templates.clone().unwrap_or_default(),
            templates: templates(&values, config.templates.unwrap_or_default())?,
            aliases: config.aliases.unwrap_or_default(),
            injected_annotations: config.injected_annotations.unwrap_or_default(),
            values: with_sections(values),
        })
    }

    /// A setting of `global`.
    pub(crate) fn global(&self, path: &str) -> Option<&Value> {
        self.values.pointer(&format!("/global{path}"))
    }

    /// The same, as text; empty where there is none.
    pub(crate) fn global_text(&self, path: &str) -> String {
        match self.global(path) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        }
    }
}

/// Our own below those of the values below those of the configuration.
fn templates(
    values: &Value,
    configured: BTreeMap<String, String>,
) -> Result<BTreeMap<String, Template>, TemplateError> {
    let mut found = BTreeMap::new();
    for (name, text) in BUILT_IN {
        let text = format!("{PARTS}{text}");
        found.insert(name.to_owned(), Template::parse(name, &text)?);
    }
    let written = values.pointer("/sidecarInjectorWebhook/templates");
    let written = written.and_then(Value::as_object).into_iter().flatten();
    let written =
        written.filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned())));
    for (name, text) in written.chain(configured) {
        let parsed = Template::parse(&name, &text)?;
        found.insert(name, parsed);
    }
    Ok(found)
}

/// The sections that templates read, made where an installation has none of them.
fn with_sections(mut values: Value) -> Value {
    let sections = [
        (
            "/global",
            &["proxy", "proxy_init", "multiCluster", "logging", "sds"][..],
        ),
        ("/pilot", &["cni"][..]),
        (
            "",
            &["global", "pilot", "gateways", "sidecarInjectorWebhook"][..],
        ),
    ];
    for (path, names) in sections.iter().rev() {
        let Some(Value::Object(below)) = values.pointer_mut(path) else {
            continue;
        };
        for name in *names {
            let section = below.entry(*name).or_insert(Value::Null);
            if section.is_null() {
                *section = Value::Object(Map::new());
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::{Settings, SettingsError};

    fn fails(config: &str, values: &str) -> String {
        let error: SettingsError = Settings::parse(config, values).expect_err("it is wrong");
        error.to_string()
    }

    #[test]
    fn nothing_said_injects_the_sidecar() {
        let settings = Settings::parse("", "{}").expect("settings");
        assert_eq!(settings.default_templates, ["sidecar"]);
        let names: Vec<_> = settings.templates.keys().collect();
        assert_eq!(names, ["gateway", "grpc-agent", "grpc-simple", "sidecar"]);
    }

    #[test]
    fn templates_of_the_user_win() {
        let values =
            r#"{"sidecarInjectorWebhook": {"templates": {"a": "metadata: {}", "b": "{{ if }}"}}}"#;
        let settings = Settings::parse(
            "templates: {b: 'spec: {}'}",
            &values.replace("{{ if }}", ""),
        );
        assert!(settings.expect("settings").templates.contains_key("a"));
        assert!(fails("", values).starts_with("injection template \"b\": "));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(
            fails("policy: off course", "{}"),
            "the injection configuration: policy is \"off course\", expected enabled or disabled"
        );
        assert!(fails("templates: [a]", "{}").starts_with("the injection configuration: "));
        assert_eq!(
            fails("", "[]"),
            "the injection values: expected one YAML object"
        );
    }
}
