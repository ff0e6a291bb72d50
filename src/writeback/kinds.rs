//! The kinds that carry condition `Programmed`: Istio's own, as the API server calls them.

use base::ObjectRef;
use kube::core::ApiResource;

/// What the API server calls the kind of an object; `None` for kinds of others.
pub(crate) fn resource(subject: &ObjectRef) -> Option<ApiResource> {
    let (group, version, kind) = (subject.group(), subject.version(), &subject.kind);
    let plural = api::crds::plural(group, version, kind)?;
    Some(ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: subject.api_version.clone(),
        kind: kind.clone(),
        plural: plural.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use base::ObjectRef;

    use super::resource;

    #[test]
    fn only_istios_own_kinds_are_written() {
        let plural = |api_version: &str, kind: &str| {
            let subject = ObjectRef {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                namespace: Some("shop".to_owned()),
                name: "a".to_owned(),
            };
            resource(&subject).map(|resource| resource.plural)
        };
        let found = plural("networking.istio.io/v1", "ServiceEntry");
        assert_eq!(found.as_deref(), Some("serviceentries"));
        assert_eq!(plural("v1", "Service"), None);
        assert_eq!(plural("gateway.networking.k8s.io/v1", "Gateway"), None);
        assert_eq!(plural("install.istio.io/v1alpha1", "IstioOperator"), None);
    }

    #[test]
    fn each_of_them_has_a_status_of_its_own() {
        for definition in api::crds::definitions() {
            for version in definition["spec"]["versions"].as_array().expect("a list") {
                assert!(
                    version.pointer("/subresources/status").is_some(),
                    "{definition}"
                );
            }
        }
    }
}
