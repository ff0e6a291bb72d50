//! Objects by kind, and the questions that several analyzers ask about them.

use std::collections::BTreeMap;

use base::ObjectRef;
use serde_json::Value;

use crate::message::{Code, Message};

/// One object.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    pub value: &'a Value,
    pub kind: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
}

impl<'a> Object<'a> {
    fn of(value: &'a Value) -> Self {
        let text = |pointer: &str| {
            value
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        Object {
            value,
            kind: text("/kind"),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
        }
    }

    pub fn spec(&self) -> &'a Value {
        &self.value["spec"]
    }

    pub fn label(&self, name: &str) -> Option<&'a str> {
        self.value["metadata"]["labels"][name].as_str()
    }

    pub fn annotation(&self, name: &str) -> Option<&'a str> {
        self.value["metadata"]["annotations"][name].as_str()
    }

    /// `namespace/name`, or the name alone.
    pub fn full_name(&self) -> String {
        match self.namespace {
            "" => self.name.to_owned(),
            namespace => format!("{namespace}/{}", self.name),
        }
    }

    pub fn reference(&self) -> ObjectRef {
        validate::reference(self.value)
    }
}

/// Everything that is known.
#[derive(Debug)]
pub struct World<'a> {
    by_kind: BTreeMap<(&'a str, &'a str), Vec<Object<'a>>>,
    /// MeshConfig as it was written.
    pub mesh: &'a Value,
    /// MeshNetworks as they were written.
    pub networks: &'a Value,
}

impl<'a> World<'a> {
    pub fn new(
        objects: impl IntoIterator<Item = &'a Value>,
        mesh: &'a Value,
        networks: &'a Value,
    ) -> Self {
        let mut by_kind: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for value in objects {
            let object = Object::of(value);
            let version = value["apiVersion"].as_str().unwrap_or_default();
            let group = version.split_once('/').map_or("", |(group, _)| group);
            by_kind
                .entry((group, object.kind))
                .or_default()
                .push(object);
        }
        World {
            by_kind,
            mesh,
            networks,
        }
    }

    /// All objects of a kind, in the order in which they came.
    pub fn all(&self, group: &str, kind: &str) -> &[Object<'a>] {
        let found = self
            .by_kind
            .iter()
            .find(|((g, k), _)| *g == group && *k == kind);
        found.map_or(&[], |(_, objects)| objects.as_slice())
    }

    /// Objects of every kind of Istio's API.
    pub fn of_istio(&self) -> impl Iterator<Item = &Object<'a>> {
        let ours = self
            .by_kind
            .iter()
            .filter(|((group, kind), _)| api::crds::schema(group, kind).is_some());
        ours.flat_map(|(_, objects)| objects)
    }

    pub fn networking(&self, kind: &str) -> &[Object<'a>] {
        self.all("networking.istio.io", kind)
    }

    pub fn core(&self, kind: &str) -> &[Object<'a>] {
        self.all("", kind)
    }

    pub fn namespace(&self, name: &str) -> Option<&Object<'a>> {
        self.core("Namespace")
            .iter()
            .find(|namespace| namespace.name == name)
    }

    /// The root namespace of the mesh.
    pub fn root(&self) -> &str {
        self.mesh["rootNamespace"]
            .as_str()
            .unwrap_or("istio-system")
    }

    /// An object by `name` or `namespace/name`, seen from a namespace.
    pub fn find(&self, group: &str, kind: &str, own: &str, name: &str) -> Option<&Object<'a>> {
        let (namespace, name) = name.split_once('/').unwrap_or((own, name));
        let mut all = self.all(group, kind).iter();
        all.find(|object| object.namespace == namespace && object.name == name)
    }
}

/// What is said so far.
#[derive(Debug, Default)]
pub struct Report {
    pub messages: Vec<Message>,
}

impl Report {
    pub fn add(&mut self, code: Code, object: &Object, text: impl Into<String>) {
        self.messages.push(Message {
            code,
            subject: object.reference(),
            text: text.into(),
        });
    }
}

/// Texts of a list.
pub fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Elements of a list.
pub fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Whether labels hold all that a selector of equal labels asks for; an empty one takes all.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.as_object().into_iter().flatten();
    wanted
        .into_iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// A LabelSelector of Kubernetes; an absent one takes all.
pub fn selected(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut equal = equal.map(|(key, value)| labels.get(key).map(String::as_str) == value.as_str());
    let expression = |expression: &Value| {
        let value = labels.get(expression["key"].as_str().unwrap_or_default());
        let among = |value: &String| texts(&expression["values"]).any(|allowed| allowed == value);
        match expression["operator"].as_str() {
            Some("In") => value.is_some_and(among),
            Some("NotIn") => !value.is_some_and(among),
            Some("Exists") => value.is_some(),
            Some("DoesNotExist") => value.is_none(),
            _ => false,
        }
    };
    equal.all(|holds| holds) && items(&selector["matchExpressions"]).all(expression)
}

/// `a=b,c=d`, as selectors are printed.
pub fn printed(selector: &Value) -> String {
    let labels = selector.as_object().into_iter().flatten();
    let mut labels: Vec<String> = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    labels.sort();
    labels.join(",")
}

/// The labels of an object.
pub fn labels<'a>(object: &Object<'a>) -> &'a Value {
    &object.value["metadata"]["labels"]
}

/// A host as a full name: short ones are of the own namespace.
pub fn full_host(namespace: &str, host: &str) -> String {
    match host.starts_with('*') || host.contains('.') {
        true => host.to_owned(),
        false => format!("{host}.{namespace}.svc.cluster.local"),
    }
}

/// Namespaces that `exportTo` reaches; `*` stands for all.
pub fn scopes(export_to: &Value, own: &str) -> Vec<String> {
    let mut scopes: Vec<String> = texts(export_to)
        .map(|to| if to == "." { own } else { to }.to_owned())
        .collect();
    if scopes.is_empty() || scopes.iter().any(|scope| scope == "*") {
        scopes = vec!["*".to_owned()];
    }
    scopes.sort();
    scopes.dedup();
    scopes
}

/// Whether a pod, or what makes pods, is part of the mesh: it has a proxy, or injection will give it one.
pub fn in_mesh(world: &World, namespace: &str, metadata: &Value, pod: &Value) -> bool {
    let proxy = |container: &Value| {
        container["name"] == PROXY
            && container["image"]
                .as_str()
                .is_some_and(|image| !image.is_empty())
    };
    if items(&pod["containers"])
        .chain(items(&pod["initContainers"]))
        .any(proxy)
    {
        return true;
    }
    let own = |place: &str| metadata[place]["sidecar.istio.io/inject"].as_str();
    if let Some(inject) = own("labels").or_else(|| own("annotations")) {
        return inject == "true";
    }
    world
        .namespace(namespace)
        .is_some_and(|namespace| namespace.label(INJECTION) == Some("enabled"))
}

/// Name of the proxy's container.
pub const PROXY: &str = "istio-proxy";
/// The label of namespaces that asks for injection.
pub const INJECTION: &str = "istio-injection";
/// The label that asks for a revision.
pub const REVISION: &str = "istio.io/rev";

/// Whether a pod's traffic goes through the ambient mesh.
pub fn is_ambient(pod: &Object) -> bool {
    pod.annotation("ambient.istio.io/redirection") == Some("enabled")
}

/// Whether an object is of the control plane itself.
pub fn is_control_plane(object: &Object) -> bool {
    object.label("istio").is_some() || object.label("release") == Some("istio")
}
