//! What a source tells the store, and how one object as written becomes that.

use std::sync::Arc;

use api::finding::Finding;
use api::mesh_config::MeshConfig;
use api::security::jwt::{Fetched, KeySource};
use api::snapshot::{Item, Key, Kind, read};
use base::{ObjectRef, Problem, Severity};
use serde_json::Value;

use crate::written;

/// Key of the mesh configuration in its ConfigMap.
const MESH: &str = "mesh";

/// One change of the world. Sources send them in batches; a batch becomes visible as a whole.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An object is so from now on.
    Put(Box<Item>),
    /// An object is gone.
    Remove(Kind, Key),
    /// An object is there but cannot be used. It counts as gone, so that what is in force follows from
    /// what the objects say now and not from what they said before.
    Refuse(Kind, Key, Problem),
    /// What is wrong with an object that was put or refused just before, or that the mesh does not read, and what
    /// its status says; without a word, that nothing is.
    Judge(Box<Finding>),
    /// The settings of the whole mesh.
    Configure(Box<MeshConfig>),
    /// The settings of the whole mesh cannot be used. The previous ones stay: defaults would change every proxy.
    RefuseMesh(Problem),
    /// Keys of an issuer of tokens were fetched, or cannot be; `None` when nobody needs them any more.
    Keys(KeySource, Option<Fetched>),
    /// What was written of what was told just before: an object of Istio's API as JSON, or the mesh configuration.
    Written(Id, Arc<str>),
    /// A source has told everything that it knew at its start.
    Complete,
}

/// Where the mesh configuration is kept: a ConfigMap with the key `mesh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshMap {
    /// Root namespace of the mesh.
    pub namespace: String,
    /// `istio`, or `istio-<revision>`.
    pub name: String,
}

impl MeshMap {
    /// That of a revision; `default` is the one without a name.
    pub fn of_revision(namespace: &str, revision: &str) -> Self {
        MeshMap {
            namespace: namespace.to_owned(),
            name: match revision {
                "" | "default" => "istio".to_owned(),
                revision => format!("istio-{revision}"),
            },
        }
    }
}

/// What an object is to the mesh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    /// The ConfigMap with the mesh configuration.
    Mesh,
    /// One of the kinds that the mesh reads.
    Object(Kind, Key),
    /// An object of Istio's API that the mesh does not read; it is judged only.
    Judged(ObjectRef),
}

impl Id {
    /// The id of an object; `None` when the mesh does not read it.
    pub fn of(object: &Value, mesh_map: &MeshMap) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let metadata = &object["metadata"];
        let key = Key::new(text(&metadata["namespace"]), text(&metadata["name"]));
        if (api_version.as_str(), kind.as_str()) == ("v1", "ConfigMap")
            && key.namespace == mesh_map.namespace
            && key.name == mesh_map.name
        {
            return Some(Id::Mesh);
        }
        match Kind::of(&api_version, &kind) {
            Some(kind) if is_cluster_scoped(kind) => Some(Id::Object(kind, Key::new("", key.name))),
            Some(kind) => Some(Id::Object(kind, key)),
            None => {
                let subject = validate::reference(object);
                let known = api::crds::schema(subject.group(), &subject.kind).is_some();
                known.then_some(Id::Judged(subject))
            }
        }
    }

    /// That of an object which something is known of.
    pub fn of_subject(subject: &ObjectRef) -> Self {
        let key = || {
            Key::new(
                subject.namespace.as_deref().unwrap_or_default(),
                &*subject.name,
            )
        };
        match Kind::of(&subject.api_version, &subject.kind) {
            Some(kind) => Id::Object(kind, key()),
            None => Id::Judged(subject.clone()),
        }
    }

    /// The changes that this object makes.
    pub fn told(self, object: &Value) -> Vec<Change> {
        match self {
            Id::Mesh => {
                let change = mesh_config(object);
                let text = object["data"][MESH].as_str().unwrap_or_default();
                let written = matches!(change, Change::Configure(_));
                let written = written.then(|| Change::Written(Id::Mesh, text.into()));
                [change].into_iter().chain(written).collect()
            }
            Id::Object(kind, key) => {
                let id = Id::Object(kind, key.clone());
                let (change, refused) = match read(object) {
                    Ok(Some(item)) => (Change::Put(Box::new(item)), None),
                    Ok(None) => (Change::Remove(kind, key), None),
                    Err(problem) => (Change::Refuse(kind, key, problem.clone()), Some(problem)),
                };
                let finding = judged(object, refused);
                let judge = finding.map(|finding| Change::Judge(Box::new(finding)));
                let written = is_of_istio(object).then(|| written::of_object(object));
                let written = written.map(|text| Change::Written(id, text));
                [change].into_iter().chain(judge).chain(written).collect()
            }
            Id::Judged(subject) => {
                let id = Id::Judged(subject.clone());
                let nothing = || Finding::of(&Value::Null, subject, Vec::new());
                let finding = judged(object, None).unwrap_or_else(nothing);
                let judge = Change::Judge(Box::new(finding));
                vec![judge, Change::Written(id, written::of_object(object))]
            }
        }
    }

    /// The change that its end makes.
    pub fn gone(self) -> Change {
        match self {
            Id::Mesh => Change::Configure(Box::default()),
            Id::Object(kind, key) => Change::Remove(kind, key),
            Id::Judged(subject) => {
                Change::Judge(Box::new(Finding::of(&Value::Null, subject, Vec::new())))
            }
        }
    }
}

/// Whether an object is of Istio's API.
fn is_of_istio(object: &Value) -> bool {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let (group, _) = text("apiVersion").split_once('/').unwrap_or_default();
    api::crds::schema(group, text("kind")).is_some()
}

/// What is known of an object of Istio's API, if anything: the same errors that the webhook would have told, which
/// may be absent or switched off.
fn judged(object: &Value, refused: Option<Problem>) -> Option<Finding> {
    let subject = validate::reference(object);
    api::crds::schema(subject.group(), &subject.kind)?;
    let mut problems = validate::object(object);
    problems.retain(|problem| problem.severity == Severity::Error);
    // Whatever cannot be read has an error of its form, as a rule; the words of that are better.
    if problems.is_empty() {
        problems.extend(refused);
    }
    let finding = Finding::of(object, subject, problems);
    (!finding.is_empty()).then_some(finding)
}

/// Whether objects of a kind are in no namespace.
pub(crate) fn is_cluster_scoped(kind: Kind) -> bool {
    matches!(kind, Kind::Namespace | Kind::Node | Kind::IngressClass)
}

fn mesh_config(config_map: &Value) -> Change {
    let text = config_map["data"][MESH].as_str().unwrap_or_default();
    let parsed = api::yaml::documents(text)
        .map_err(|error| error.to_string())
        .and_then(|documents| match &documents[..] {
            [] => Ok(MeshConfig::default()),
            // A list would pass for the fields of the settings in their order.
            [document] if !document.is_object() => Err("not a map of settings".to_owned()),
            [document] => MeshConfig::parse(document),
            more => Err(format!("{} documents, expected one", more.len())),
        });
    match parsed {
        Ok(config) => Change::Configure(Box::new(config)),
        Err(reason) => {
            let metadata = &config_map["metadata"];
            let subject = ObjectRef {
                api_version: "v1".to_owned(),
                kind: "ConfigMap".to_owned(),
                namespace: metadata["namespace"].as_str().map(str::to_owned),
                name: metadata["name"].as_str().unwrap_or_default().to_owned(),
            };
            let message = format!("cannot be used, the previous settings stay: {reason}");
            Change::RefuseMesh(Problem::error(
                &subject,
                "data.mesh",
                "InvalidValue",
                message,
            ))
        }
    }
}

#[cfg(test)]
mod tests;
