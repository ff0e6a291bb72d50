//! Labels of rendered objects. Two kinds: those that the installation always had (`of`), and
//! those of the owner, which go on last and on every object (`own`).

use std::collections::BTreeMap;

use base::labels as names;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

use crate::merge::sorted;
use crate::{Component, Install, Object};

/// Labels by name, as the Kubernetes types want them.
pub(crate) type Labels = BTreeMap<String, String>;

/// Release name under which the charts of Istio would have been installed; part of selectors that
/// people already use.
const RELEASE: &str = "istio";

/// Labels from pairs.
pub(crate) fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Labels of everything, for an application of that name.
pub(crate) fn of(application: &str, install: &Install) -> Labels {
    labels([
        ("app.kubernetes.io/instance", RELEASE),
        ("app.kubernetes.io/managed-by", "Helm"),
        ("app.kubernetes.io/name", application),
        ("app.kubernetes.io/part-of", "istio"),
        ("app.kubernetes.io/version", &install.version),
    ])
}

/// [`of`] with the release, which pods go without.
pub(crate) fn released(application: &str, install: &Install) -> Labels {
    with(of(application, install), [("release", RELEASE)])
}

/// Labels of what belongs to a component and a revision; the owner is not known yet.
pub(crate) fn component(labels: Labels, component: Component, install: &Install) -> Labels {
    with(
        labels,
        [
            (names::OWNING_RESOURCE, "unknown"),
            (names::COMPONENT, component.as_str()),
            (names::REVISION, install.revision_label()),
        ],
    )
}

/// `labels` and these.
pub(crate) fn with<const N: usize>(mut labels: Labels, pairs: [(&str, &str); N]) -> Labels {
    labels.extend(self::labels(pairs));
    labels
}

/// Metadata of an object; cluster-scoped ones have an empty namespace.
pub(crate) fn metadata(name: impl Into<String>, namespace: &str, labels: Labels) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        labels: Some(labels),
        ..Default::default()
    }
}

/// Marks an object as the owner's, so that it is found, repaired and pruned.
pub(crate) fn own(object: &mut Object, component: Component, install: &Install) {
    let Some(owner) = &install.owner else {
        return;
    };
    let marks = labels([
        (names::OWNING_RESOURCE, &owner.name),
        (names::OWNING_RESOURCE_NAMESPACE, &owner.namespace),
        (names::MANAGED, names::MANAGED_RECONCILE),
        (names::COMPONENT, component.as_str()),
        (names::VERSION, &install.version),
        (names::REVISION, install.revision_label()),
    ]);
    let labels = &mut object.body["metadata"]["labels"];
    if !labels.is_object() {
        *labels = Value::Object(Map::new());
    }
    for (key, value) in marks {
        labels[key] = Value::String(value);
    }
    *labels = sorted(labels);
}
