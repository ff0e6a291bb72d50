//! The profiles and defaults that the program carries (`config/profiles`), as data.
//! Which of them applies, and in which order, is decided in `resolve`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::merge::{layered, map_at, set};

/// A named starting point of an installation.
pub(crate) struct Profile {
    /// Fields of an IstioOperator's spec, beneath the user's.
    pub(crate) spec: Map<String, Value>,
    /// Values, beneath the user's and above the defaults.
    pub(crate) values: Map<String, Value>,
}

/// Values beneath every profile.
pub(crate) struct Defaults {
    /// Of the control plane; settings of `pilot` stand at the top.
    pub(crate) istiod: Map<String, Value>,
    /// What gateways have beside those.
    pub(crate) gateways: Map<String, Value>,
}

/// The profile beneath every other.
pub(crate) const DEFAULT: &str = "default";

static PROFILES: LazyLock<BTreeMap<&'static str, Profile>> = LazyLock::new(|| {
    [
        (
            "ambient",
            include_str!("../../config/profiles/ambient.yaml"),
        ),
        (DEFAULT, include_str!("../../config/profiles/default.yaml")),
        ("demo", include_str!("../../config/profiles/demo.yaml")),
        ("empty", include_str!("../../config/profiles/empty.yaml")),
        (
            "minimal",
            include_str!("../../config/profiles/minimal.yaml"),
        ),
        (
            "preview",
            include_str!("../../config/profiles/preview.yaml"),
        ),
        (
            "openshift",
            include_str!("../../config/profiles/openshift.yaml"),
        ),
        (
            "openshift-ambient",
            include_str!("../../config/profiles/openshift-ambient.yaml"),
        ),
        ("remote", include_str!("../../config/profiles/remote.yaml")),
        ("stable", include_str!("../../config/profiles/stable.yaml")),
    ]
    .into_iter()
    .map(|(name, text)| {
        let data = data(text);
        let part = |key| map_at(&data, &[key]).clone();
        let profile = Profile {
            spec: part("spec"),
            values: part("values"),
        };
        (name, profile)
    })
    .collect()
});

/// Values beneath every profile.
pub(crate) static DEFAULTS: LazyLock<Defaults> = LazyLock::new(|| {
    let data = data(include_str!("../../config/profiles/defaults.yaml"));
    Defaults {
        istiod: map_at(&data, &["istiod"]).clone(),
        gateways: map_at(&data, &["gateways"]).clone(),
    }
});

/// Values by compatibility version, above those of the profile.
pub(crate) static COMPATIBILITY: LazyLock<Map<String, Value>> =
    LazyLock::new(|| data(include_str!("../../config/profiles/compatibility.yaml")));

/// Values by platform, above those of the compatibility version.
pub(crate) static PLATFORMS: LazyLock<Map<String, Value>> =
    LazyLock::new(|| data(include_str!("../../config/profiles/platforms.yaml")));

/// The profile of that name.
pub(crate) fn named(name: &str) -> Option<&'static Profile> {
    PROFILES.get(name)
}

/// Names of all profiles, for messages.
pub(crate) fn names() -> String {
    profiles().collect::<Vec<_>>().join(", ")
}

/// Names of all profiles, in alphabetical order.
pub fn profiles() -> impl Iterator<Item = &'static str> {
    PROFILES.keys().copied()
}

/// A profile as an IstioOperator: what it says on top of the default one, with its values; those
/// beneath every profile are left out. `None` when there is no profile of that name.
pub fn profile(name: &str) -> Option<Value> {
    let chosen = named(name)?;
    let default = named(DEFAULT)?;
    let mut spec = layered([&default.spec, &chosen.spec]);
    let mut values = layered([&chosen.values, map_at(&spec, &["values"])]);
    // The one setting of `pilot` that a profile has at the top.
    if let Some(value) = values.remove("configMap") {
        set(&mut values, &["pilot", "configMap"], value);
    }
    spec.insert("profile".to_owned(), name.into());
    spec.insert("values".to_owned(), Value::Object(values));
    Some(json!({
        "apiVersion": api::istio_operator::API_VERSION,
        "kind": api::istio_operator::KIND,
        "spec": spec,
    }))
}

fn data(text: &str) -> Map<String, Value> {
    match api::yaml::documents(text).map(|mut documents| documents.pop()) {
        Ok(Some(Value::Object(map))) => map,
        other => panic!("a profile of the program is no map but {other:?}"),
    }
}
