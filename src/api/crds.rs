//! The CustomResourceDefinitions of Istio's own kinds: the files of `crds/`, in which the API server
//! finds types, ranges and rules. IstioOperator's definition is not among them.

use std::sync::LazyLock;

use serde_json::Value;

static DEFINITIONS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    [
        include_str!("../../crds/trafficextensions.extensions.istio.io.yaml"),
        include_str!("../../crds/wasmplugins.extensions.istio.io.yaml"),
        include_str!("../../crds/destinationrules.networking.istio.io.yaml"),
        include_str!("../../crds/envoyfilters.networking.istio.io.yaml"),
        include_str!("../../crds/gateways.networking.istio.io.yaml"),
        include_str!("../../crds/proxyconfigs.networking.istio.io.yaml"),
        include_str!("../../crds/serviceentries.networking.istio.io.yaml"),
        include_str!("../../crds/sidecars.networking.istio.io.yaml"),
        include_str!("../../crds/virtualservices.networking.istio.io.yaml"),
        include_str!("../../crds/workloadentries.networking.istio.io.yaml"),
        include_str!("../../crds/workloadgroups.networking.istio.io.yaml"),
        include_str!("../../crds/authorizationpolicies.security.istio.io.yaml"),
        include_str!("../../crds/peerauthentications.security.istio.io.yaml"),
        include_str!("../../crds/requestauthentications.security.istio.io.yaml"),
        include_str!("../../crds/telemetries.telemetry.istio.io.yaml"),
    ]
    .into_iter()
    .map(|text| {
        crate::yaml::documents(text)
            .expect("the CRDs are part of the program and a test parses them")
            .pop()
            .expect("each file holds one CRD")
    })
    .collect()
});

/// All of them, by group and name.
pub fn definitions() -> &'static [Value] {
    &DEFINITIONS
}

/// The structural schema of a kind, the same for all its versions; `None` for kinds of others.
pub fn schema(group: &str, kind: &str) -> Option<&'static Value> {
    let definition = definitions().iter().find(|definition| {
        let spec = &definition["spec"];
        spec["group"] == group && spec["names"]["kind"] == kind
    })?;
    definition.pointer("/spec/versions/0/schema/openAPIV3Schema")
}

/// What the API server calls the kind in paths, where this version of it is served; `None` for others.
pub fn plural(group: &str, version: &str, kind: &str) -> Option<&'static str> {
    let definition = definitions().iter().find(|definition| {
        let spec = &definition["spec"];
        spec["group"] == group && spec["names"]["kind"] == kind
    })?;
    let versions = definition["spec"]["versions"].as_array()?;
    versions.iter().find(|known| known["name"] == version)?;
    definition.pointer("/spec/names/plural")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::{definitions, schema};

    #[test]
    fn each_file_is_a_definition_whose_versions_share_one_schema() {
        assert_eq!(definitions().len(), 15);
        for definition in definitions() {
            let versions = definition["spec"]["versions"].as_array().expect("a list");
            for version in versions {
                let shared = &versions[0]["schema"];
                assert_eq!(
                    &version["schema"], shared,
                    "{}",
                    definition["metadata"]["name"]
                );
            }
        }
    }

    #[test]
    fn a_schema_is_found_by_group_and_kind() {
        assert!(schema("networking.istio.io", "VirtualService").is_some());
        assert!(schema("example.org", "VirtualService").is_none());
    }
}
