//! Which namespaces hold the root certificate, and what a ConfigMap must say. No I/O; `distribute` writes.

use std::collections::BTreeMap;

use base::{labels, names};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;

/// The write that brings a namespace to its state.
#[derive(Debug, PartialEq)]
pub enum Write {
    /// It is there.
    Nothing,
    /// The ConfigMap does not exist.
    Create(ConfigMap),
    /// It exists and says something else; carries the resource version that was seen.
    Replace(ConfigMap),
}

/// Whether `namespace` is one that gets the root certificate.
pub fn wanted(namespace: &str, terminating: bool) -> bool {
    !terminating && !names::NAMESPACES_WITHOUT_ROOT_CERT.contains(&namespace)
}

/// Compares the ConfigMap of `namespace` with `root`. Other keys and labels are left as they are.
pub fn next_write(namespace: &str, present: Option<&ConfigMap>, root: &str) -> Write {
    let Some(present) = present else {
        return Write::Create(ConfigMap {
            metadata: ObjectMeta {
                name: Some(names::ROOT_CERT_CONFIG_MAP.to_owned()),
                namespace: Some(namespace.to_owned()),
                labels: Some(BTreeMap::from([label()])),
                ..Default::default()
            },
            data: Some(BTreeMap::from([datum(root)])),
            ..Default::default()
        });
    };
    let mut merged = present.clone();
    merged.data.get_or_insert_default().extend([datum(root)]);
    merged
        .metadata
        .labels
        .get_or_insert_default()
        .extend([label()]);
    if merged == *present {
        Write::Nothing
    } else {
        Write::Replace(merged)
    }
}

fn label() -> (String, String) {
    (labels::CONFIG.to_owned(), "true".to_owned())
}

fn datum(root: &str) -> (String, String) {
    (names::ROOT_CERT_KEY.to_owned(), root.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::ConfigMap;

    use super::{Write, next_write, wanted};

    fn created() -> ConfigMap {
        match next_write("shop", None, "ROOT") {
            Write::Create(config_map) => config_map,
            other => panic!("expected a creation, got {other:?}"),
        }
    }

    #[test]
    fn every_living_namespace_but_three_gets_it() {
        for (namespace, terminating, expected) in [
            ("shop", false, true),
            ("istio-system", false, true),
            ("kube-system", false, true),
            ("kube-public", false, false),
            ("kube-node-lease", false, false),
            ("local-path-storage", false, false),
            ("shop", true, false),
        ] {
            assert_eq!(wanted(namespace, terminating), expected, "{namespace}");
        }
    }

    #[test]
    fn a_new_one_has_upstreams_name_key_and_label() {
        let created = created();
        assert_eq!(created.metadata.name.as_deref(), Some("istio-ca-root-cert"));
        assert_eq!(created.metadata.namespace.as_deref(), Some("shop"));
        let data = BTreeMap::from([("root-cert.pem".to_owned(), "ROOT".to_owned())]);
        assert_eq!(created.data, Some(data));
        let labels = BTreeMap::from([("istio.io/config".to_owned(), "true".to_owned())]);
        assert_eq!(created.metadata.labels, Some(labels));
    }

    #[test]
    fn one_that_is_right_is_not_written() {
        assert_eq!(next_write("shop", Some(&created()), "ROOT"), Write::Nothing);
    }

    #[test]
    fn foreign_keys_and_labels_survive() {
        let mut present = created();
        present.metadata.resource_version = Some("7".to_owned());
        let data = present.data.get_or_insert_default();
        data.insert("ca.crt".to_owned(), "theirs".to_owned());
        let with_foreign_key = next_write("shop", Some(&present), "ROOT");
        assert_eq!(with_foreign_key, Write::Nothing);

        let Write::Replace(replaced) = next_write("shop", Some(&present), "NEW") else {
            panic!("expected a replacement");
        };
        let data = replaced.data.expect("data");
        assert_eq!(data["root-cert.pem"], "NEW");
        assert_eq!(data["ca.crt"], "theirs");
        assert_eq!(replaced.metadata.resource_version.as_deref(), Some("7"));
    }

    #[test]
    fn an_edited_or_emptied_one_is_repaired() {
        let edited = ConfigMap {
            data: Some(BTreeMap::from([(
                "root-cert.pem".to_owned(),
                "EDITED".to_owned(),
            )])),
            ..created()
        };
        let emptied = ConfigMap {
            data: None,
            ..created()
        };
        let mut unlabelled = created();
        unlabelled.metadata.labels = None;
        for present in [edited, emptied, unlabelled] {
            let write = next_write("shop", Some(&present), "ROOT");
            assert_eq!(write, Write::Replace(created()), "{present:?}");
        }
    }
}
