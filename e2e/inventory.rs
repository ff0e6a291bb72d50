//! What an installation consists of, by the record that the operator keeps of it, and by which paths the API server
//! knows that.

use std::collections::BTreeSet;

use base::ObjectRef;
use kube::Client;

use crate::cluster;

/// The objects of one IstioOperator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Written for this one.
    pub own: BTreeSet<ObjectRef>,
    /// Written for another one, and rendered alike by this one.
    pub shared: BTreeSet<ObjectRef>,
}

impl Inventory {
    /// That of the IstioOperator of this name; nothing where none is recorded.
    ///
    /// # Panics
    /// When the API server does not answer, or the record holds something else.
    pub async fn of(client: &Client, namespace: &str, name: &str) -> Inventory {
        let maps = cluster::dynamic(client, "v1", "ConfigMap", Some(namespace));
        let map = maps
            .get_opt(&format!("istio-operator-inventory-{name}"))
            .await
            .unwrap_or_else(|error| panic!("the inventory of {namespace}/{name}: {error}"));
        let mut inventory = Inventory::default();
        let text = map
            .as_ref()
            .and_then(|map| map.data["data"]["objects"].as_str());
        for line in text.unwrap_or_default().lines() {
            let words: Vec<_> = line.split(' ').collect();
            let (object, rest) = match words.as_slice() {
                [api_version, kind, target, rest @ ..] => {
                    (reference(api_version, kind, target), rest)
                }
                _ => panic!("the inventory of {namespace}/{name} holds {line:?}"),
            };
            match rest {
                ["shared"] => inventory.shared.insert(object),
                _ => inventory.own.insert(object),
            };
        }
        inventory
    }

    /// Paths of its objects, by which requests to the API server name them.
    pub fn paths(&self, client: &Client) -> BTreeSet<String> {
        let all = self.own.iter().chain(&self.shared);
        all.map(|object| path(client, object)).collect()
    }
}

/// Those of `objects` that exist.
///
/// # Errors
/// When the API server does not answer.
pub async fn standing(
    client: &Client,
    objects: &BTreeSet<ObjectRef>,
) -> Result<Vec<ObjectRef>, String> {
    let mut found = Vec::new();
    for object in objects {
        let namespace = object.namespace.as_deref();
        let api = cluster::dynamic(client, &object.api_version, &object.kind, namespace);
        let answer = api.get_opt(&object.name).await;
        if answer
            .map_err(|error| format!("{object}: {error}"))?
            .is_some()
        {
            found.push(object.clone());
        }
    }
    Ok(found)
}

fn reference(api_version: &str, kind: &str, target: &str) -> ObjectRef {
    let (namespace, name) = match target.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, target),
    };
    ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace,
        name: name.to_owned(),
    }
}

fn path(client: &Client, object: &ObjectRef) -> String {
    let namespace = object.namespace.as_deref();
    let api = cluster::dynamic(client, &object.api_version, &object.kind, namespace);
    format!("{}/{}", api.resource_url(), object.name)
}
