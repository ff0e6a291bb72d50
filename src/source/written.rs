//! What people wrote, kept as text for those who look for a fault: the objects of Istio's API, whether they can be used
//! or not, and the mesh configuration. The mesh itself is made from parsed values and reads none of this.

use std::sync::Arc;

use imbl::OrdMap;
use serde_json::Value;

use crate::Change;
use crate::change::Id;

/// Repeats what an object says, by the tool that applied it.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// All of them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    by_id: OrdMap<Id, Arc<str>>,
}

impl Texts {
    /// The mesh configuration, as YAML; `None` while there is none.
    pub fn mesh(&self) -> Option<&Arc<str>> {
        self.by_id.get(&Id::Mesh)
    }

    /// The objects as JSON: kind, API version, metadata and spec, by kind, namespace and name.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<str>> {
        let objects = self.by_id.iter().filter(|(id, _)| **id != Id::Mesh);
        objects.map(|(_, text)| text)
    }

    /// Follows a change. Each that ends an object comes without a text after it.
    pub(crate) fn follow(&mut self, change: &Change) {
        let ended = match change {
            Change::Written(id, text) => {
                self.by_id.insert(id.clone(), text.clone());
                return;
            }
            Change::Remove(kind, key) => Id::Object(*kind, key.clone()),
            Change::Judge(finding) => match Id::of_subject(&finding.subject) {
                judged @ Id::Judged(_) => judged,
                Id::Mesh | Id::Object(..) => return,
            },
            Change::Configure(_) => Id::Mesh,
            Change::Put(_)
            | Change::Refuse(..)
            | Change::RefuseMesh(_)
            | Change::Keys(..)
            | Change::Complete => return,
        };
        self.by_id.remove(&ended);
    }
}

/// The text that is kept of an object of Istio's API.
pub(crate) fn of_object(object: &Value) -> Arc<str> {
    let mut metadata = object["metadata"].clone();
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.remove(APPLIED);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    // A specification may be large, and is not copied for this.
    let mut text = String::from("{");
    for field in ["kind", "apiVersion", "metadata", "spec"] {
        let value = match field {
            "metadata" => Some(&metadata),
            other => object.get(other),
        };
        if let Some(value) = value {
            let comma = if text.len() > 1 { "," } else { "" };
            text += &format!("{comma}\"{field}\":{value}");
        }
    }
    text.push('}');
    text.into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Texts;
    use crate::MeshMap;
    use crate::change::Id;

    fn mesh_map() -> MeshMap {
        MeshMap::of_revision("istio-system", "")
    }

    fn rule(host: &str) -> Value {
        json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"namespace": "shop", "name": "a", "resourceVersion": "7",
                "annotations": {super::APPLIED: "{}"}},
            "spec": {"host": host}, "status": {"conditions": []}})
    }

    /// Of a kind that the mesh does not read.
    fn filter() -> Value {
        json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
            "metadata": {"namespace": "shop", "name": "f"}, "spec": {}})
    }

    fn map(mesh: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "istio-system", "name": "istio"},
            "data": {"mesh": mesh}})
    }

    fn tell(texts: &mut Texts, object: &Value) {
        let id = Id::of(object, &mesh_map()).expect("followed");
        for change in id.told(object) {
            texts.follow(&change);
        }
    }

    fn end(texts: &mut Texts, object: &Value) {
        let id = Id::of(object, &mesh_map()).expect("followed");
        texts.follow(&id.gone());
    }

    fn hosts(texts: &Texts) -> Vec<Value> {
        let objects = texts.objects();
        objects
            .map(|text| serde_json::from_str::<Value>(text).expect("JSON")["spec"]["host"].clone())
            .collect()
    }

    #[test]
    fn an_object_is_kept_without_what_others_wrote_on_it() {
        let mut texts = Texts::default();
        tell(&mut texts, &rule("reviews"));
        let found: Vec<Value> = texts
            .objects()
            .map(|text| serde_json::from_str(text).expect("JSON"))
            .collect();
        let expected = json!({"kind": "DestinationRule", "apiVersion": "networking.istio.io/v1",
            "metadata": {"namespace": "shop", "name": "a", "resourceVersion": "7"},
            "spec": {"host": "reviews"}});
        assert_eq!(found, [expected]);
    }

    #[test]
    fn the_last_word_counts_until_the_end() {
        let mut texts = Texts::default();
        tell(&mut texts, &rule("reviews"));
        tell(&mut texts, &rule("ratings"));
        assert_eq!(hosts(&texts), [json!("ratings")]);
        end(&mut texts, &rule("ratings"));
        assert_eq!(hosts(&texts), [Value::Null; 0]);
    }

    #[test]
    fn what_cannot_be_used_and_what_is_not_read_is_kept_too() {
        let mut texts = Texts::default();
        let mut broken = rule("reviews");
        broken["spec"]["trafficPolicy"] = json!("none");
        tell(&mut texts, &broken);
        tell(&mut texts, &filter());
        assert_eq!(texts.objects().count(), 2);
        end(&mut texts, &broken);
        end(&mut texts, &filter());
        assert_eq!(texts.objects().count(), 0);
    }

    #[test]
    fn the_mesh_configuration_is_none_of_the_objects() {
        let mut texts = Texts::default();
        assert_eq!(texts.mesh(), None);
        tell(&mut texts, &map("accessLogFile: /dev/stdout"));
        assert_eq!(
            texts.mesh().map(|text| &**text),
            Some("accessLogFile: /dev/stdout")
        );
        assert_eq!(texts.objects().count(), 0);
        tell(&mut texts, &map("7"));
        assert_eq!(
            texts.mesh().map(|text| &**text),
            Some("accessLogFile: /dev/stdout")
        );
        end(&mut texts, &map(""));
        assert_eq!(texts.mesh(), None);
    }
}
