//! The layers of an installation and how they become typed values. Knows precedence, judges
//! nothing but whether values fit their types.

use api::istio_operator::IstioOperator;
use base::{ObjectRef, Problem, names};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Base, Gateway, Install, Observed, Owner, Pilot};
use crate::Component;
use crate::merge::{at, layered, map_at, merge, set, without_nulls};
use crate::profile::{self, COMPATIBILITY, DEFAULTS, PLATFORMS, Profile};
use crate::values::{self, text};

/// Profile, the caller's hub and tag, and the user's spec, merged; spec fields that are values by
/// another name are below `values` as well.
pub(super) fn merge_spec(
    profile: &Profile,
    user: &Map<String, Value>,
    seen: &Observed,
) -> Map<String, Value> {
    let default = profile::named(profile::DEFAULT).expect("the program carries this profile");
    let mut images = Map::new();
    set(&mut images, &["hub"], json!(seen.hub));
    set(&mut images, &["tag"], json!(seen.tag));
    // A key without a value (`values:` and nothing below it) is as good as none.
    let mut user = user.clone();
    user.retain(|_, value| !value.is_null());
    let mut merged = layered([&default.spec, &profile.spec, &images, &user]);

    for (field, path) in [
        ("hub", ["values", "global", "hub"].as_slice()),
        ("tag", &["values", "global", "tag"]),
        ("revision", &["values", "revision"]),
        ("compatibilityVersion", &["values", "compatibilityVersion"]),
    ] {
        if let Some(value) = merged.get(field).filter(|value| !value.is_null()) {
            let value = json!(text(value));
            set(&mut merged, path, value);
        }
    }
    for (field, path) in [
        ("pilot", ["values", "pilot", "enabled"].as_slice()),
        ("cni", &["values", "pilot", "cni", "enabled"]),
    ] {
        let enabled = at(&merged, &["components", field, "enabled"]) == Some(&Value::Bool(true));
        set(&mut merged, path, json!(enabled));
    }
    for (from, to) in [
        (
            map_at(&merged, &["meshConfig"]).clone(),
            ["values", "meshConfig"].as_slice(),
        ),
        (map_at(&user, &["values"]).clone(), &["values"]),
        (map_at(&user, &["unvalidatedValues"]).clone(), &["values"]),
    ] {
        if !from.is_empty() {
            let mut layer = Map::new();
            set(&mut layer, to, Value::Object(from));
            merge(&mut merged, &layer);
        }
    }
    merged
}

/// The components of a merged spec.
pub(super) fn install(
    cr: &IstioOperator,
    seen: &Observed,
    subject: &ObjectRef,
    merged: &Map<String, Value>,
) -> Result<Install, Vec<Problem>> {
    let read = Reading {
        subject,
        values: map_at(merged, &["values"]),
        istio_namespace: [
            at(merged, &["values", "global", "istioNamespace"]).map(text),
            Some(cr.namespace.clone()),
        ]
        .into_iter()
        .flatten()
        .find(|namespace| !namespace.is_empty())
        .unwrap_or_else(|| names::ISTIO_SYSTEM.to_owned()),
    };
    let mut problems = Vec::new();
    let components = map_at(merged, &["components"]);
    let base = keep(read.base(components), &mut problems);
    let pilot = keep(read.pilot(components), &mut problems);
    let mut gateways = Vec::new();
    for component in [Component::IngressGateways, Component::EgressGateways] {
        gateways.extend(keep(read.gateways(components, component), &mut problems));
    }
    let global = keep(read.global(), &mut problems);
    match (problems.is_empty(), base, pilot, global) {
        (true, Some(base), Some(pilot), Some(global)) => Ok(Install {
            subject: subject.clone(),
            owner: Some(Owner {
                name: cr.name.clone(),
                namespace: cr.namespace.clone(),
            }),
            version: seen.version.clone(),
            revision: read.values.get("revision").map(text).unwrap_or_default(),
            trust_domain: at(read.values, &["meshConfig", "trustDomain"])
                .map_or_else(|| names::DEFAULT_TRUST_DOMAIN.to_owned(), text),
            host: seen.host.clone(),
            istio_namespace: read.istio_namespace,
            warnings: Vec::new(),
            base,
            pilot,
            gateways: gateways.into_iter().flatten().collect(),
            default_tag: false,
            remote_control_plane: !global.remote_pilot_address.is_empty()
                || !global.ca_address.is_empty(),
        }),
        _ => Err(problems),
    }
}

/// What was read, or every reason why it could not be.
type Read<T> = Result<T, Vec<Problem>>;

fn keep<T>(result: Read<T>, problems: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|found| problems.extend(found)).ok()
}

struct Reading<'a> {
    subject: &'a ObjectRef,
    values: &'a Map<String, Value>,
    istio_namespace: String,
}

impl Reading<'_> {
    fn global(&self) -> Read<values::Global> {
        let merged = self.with_defaults(&[&DEFAULTS.istiod], self.values);
        self.typed(map_at(&merged, &["global"]), "spec.values.global")
    }

    fn base(&self, components: &Map<String, Value>) -> Read<Option<Base>> {
        let spec = components.get("base");
        let enabled = spec.is_none_or(is_enabled);
        let k8s = map_at(components, &["base", "k8s"]).clone();
        let merged = self.with_defaults(&[&DEFAULTS.istiod], self.values);
        let values = self.typed(&merged, "spec.values")?;
        Ok(enabled.then_some(Base { values, k8s }))
    }

    fn pilot(&self, components: &Map<String, Value>) -> Read<Option<Pilot>> {
        let spec = map_at(components, &["pilot"]);
        if !components.get("pilot").is_none_or(is_enabled) {
            return Ok(None);
        }
        let original = self.component_values(spec, &["pilot"]);
        let mut merged = self.with_defaults(&[&DEFAULTS.istiod], &original);
        let own = map_at(&merged, &["pilot"]).clone();
        merge(&mut merged, &own);
        Ok(Some(Pilot {
            namespace: self.namespace(spec),
            values: self.typed(&merged, "spec.values.pilot")?,
            original,
            merged,
            k8s: map_at(spec, &["k8s"]).clone(),
        }))
    }

    fn gateways(
        &self,
        components: &Map<String, Value>,
        component: Component,
    ) -> Read<Vec<Gateway>> {
        let (list, key) = match component {
            Component::EgressGateways => ("egressGateways", "istio-egressgateway"),
            _ => ("ingressGateways", "istio-ingressgateway"),
        };
        // Values could enable gateways before components could; that still works, for all of a kind.
        let forced = at(self.values, &["gateways", key, "enabled"]) == Some(&Value::Bool(true));
        let specs = components.get(list).and_then(Value::as_array);
        specs
            .into_iter()
            .flatten()
            .enumerate()
            .filter(|(_, spec)| forced || is_enabled(spec))
            .map(|(index, spec)| {
                let field = format!("spec.components.{list}[{index}]");
                self.gateway(map_of(spec), component, key, field)
            })
            .collect()
    }

    fn gateway(
        &self,
        spec: &Map<String, Value>,
        component: Component,
        key: &str,
        field: String,
    ) -> Read<Gateway> {
        let path = ["gateways", key];
        let mut original = self.component_values(spec, &path);
        for (part, value) in [
            ("name", spec.get("name")),
            ("labels", spec.get("label")),
            ("ports", at(spec, &["k8s", "service", "ports"])),
        ] {
            if let Some(value) = value.filter(|value| !value.is_null()) {
                set(&mut original, &["gateways", key, part], value.clone());
            }
        }
        let merged = self.with_defaults(&[&DEFAULTS.istiod, &DEFAULTS.gateways], &original);
        let values: values::Gateway = self.typed(map_at(&merged, &path), &field)?;
        let mesh = map_at(&merged, &["meshConfig"]);
        let metadata = map_at(mesh, &["defaultConfig", "proxyMetadata"]);
        let trust_bundle_api = at(
            &merged,
            &["pilot", "env", "ENABLE_CLUSTER_TRUST_BUNDLE_API"],
        );
        let name = map_at(&merged, &path).get("name").map(text);
        Ok(Gateway {
            component,
            field,
            namespace: self.namespace(spec),
            name: name.unwrap_or_default(),
            values,
            global: self.typed(map_at(&merged, &["global"]), "spec.values.global")?,
            proxy_metadata: metadata.clone().into_iter().collect(),
            merges_metrics: mesh.get("enablePrometheusMerge") == Some(&Value::Bool(true)),
            trust_bundle_api: trust_bundle_api == Some(&Value::Bool(true)),
            k8s: map_at(spec, &["k8s"]).clone(),
        })
    }

    fn namespace(&self, spec: &Map<String, Value>) -> String {
        spec.get("namespace")
            .map(text)
            .filter(|namespace| !namespace.is_empty())
            .unwrap_or_else(|| self.istio_namespace.clone())
    }

    /// The values as one component sees them: those of its settings that other objects depend on
    /// (whether there is a budget depends on the fewest replicas) are values too.
    fn component_values(&self, spec: &Map<String, Value>, root: &[&str]) -> Map<String, Value> {
        let mut found = self.values.clone();
        for (from, to) in [
            (
                ["k8s", "hpaSpec", "minReplicas"].as_slice(),
                ["autoscaleMin"].as_slice(),
            ),
            (&["k8s", "hpaSpec", "maxReplicas"], &["autoscaleMax"]),
            (&["k8s", "replicaCount"], &["replicaCount"]),
            (
                &["k8s", "resources", "limits", "cpu"],
                &["resources", "limits", "cpu"],
            ),
            (
                &["k8s", "resources", "requests", "cpu"],
                &["resources", "requests", "cpu"],
            ),
            (&["hub"], &["hub"]),
        ] {
            if let Some(value) = at(spec, from).filter(|value| !value.is_null()) {
                set(&mut found, &[root, to].concat(), value.clone());
            }
        }
        if let Some(tag) = spec.get("tag").filter(|tag| !tag.is_null()) {
            set(&mut found, &[root, &["tag"]].concat(), tag.clone());
        }
        found
    }

    /// Defaults, what the values name (a profile, a compatibility version, a platform), and the
    /// values.
    fn with_defaults(
        &self,
        defaults: &[&Map<String, Value>],
        values: &Map<String, Value>,
    ) -> Map<String, Value> {
        let named = Named::of(values);
        let profile = named.profile.and_then(|name| profile::named(&name));
        let further = [
            (&*COMPATIBILITY, named.compatibility),
            (&*PLATFORMS, named.platform),
        ];
        let further = further
            .iter()
            .filter_map(|(table, name)| table.get(name.as_deref()?)?.as_object());
        let profile = profile.map(|profile| &profile.values);
        let below = defaults.iter().copied().chain(profile).chain(further);
        layered(below.chain([values]))
    }

    fn typed<T: DeserializeOwned>(&self, values: &Map<String, Value>, field: &str) -> Read<T> {
        serde_json::from_value(without_nulls(Value::Object(values.clone()))).map_err(|error| {
            let message = format!("has a value that does not fit: {error}");
            vec![Problem::error(self.subject, field, "WrongType", message)]
        })
    }
}

/// Sets of values that values name.
pub(super) struct Named {
    pub(super) profile: Option<String>,
    pub(super) compatibility: Option<String>,
    pub(super) platform: Option<String>,
}

impl Named {
    /// The names, wherever they may stand.
    pub(super) fn of(values: &Map<String, Value>) -> Named {
        let name = |key: &str| {
            [at(values, &[key]), at(values, &["global", key])]
                .into_iter()
                .flatten()
                .map(text)
                .find(|name| !name.is_empty())
        };
        Named {
            profile: name("profile"),
            compatibility: name("compatibilityVersion"),
            platform: name("platform"),
        }
    }
}

/// A component that is listed is enabled unless it says otherwise.
fn is_enabled(spec: &Value) -> bool {
    spec.get("enabled") != Some(&Value::Bool(false))
}

fn map_of(value: &Value) -> &Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    value.as_object().unwrap_or(&EMPTY)
}
