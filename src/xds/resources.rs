//! What a proxy is to have: resources by type and name, each with a version made from its content.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// One encoded xDS resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its name, unique within its type.
    pub name: String,
    /// Hash of the content: equal on every replica that made the same resource.
    pub version: String,
    /// The encoded message.
    pub bytes: Bytes,
}

impl Resource {
    /// A resource with the version of its content.
    pub fn new(name: impl Into<String>, bytes: Bytes) -> Self {
        Resource {
            name: name.into(),
            version: format!("{:032x}", xxh3_128(&bytes)),
            bytes,
        }
    }
}

/// Everything that a proxy may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    types: BTreeMap<String, BTreeMap<String, Arc<Resource>>>,
}

impl Resources {
    /// Adds `resource`, or replaces the one of the same type and name.
    pub fn insert(&mut self, type_url: &str, resource: Resource) {
        let of_type = self.types.entry(type_url.to_owned()).or_default();
        of_type.insert(resource.name.clone(), Arc::new(resource));
    }

    /// One resource.
    pub fn get(&self, type_url: &str, name: &str) -> Option<&Arc<Resource>> {
        self.types.get(type_url)?.get(name)
    }

    /// All resources of a type, ordered by name.
    pub fn of_type(&self, type_url: &str) -> impl Iterator<Item = &Arc<Resource>> {
        self.types
            .get(type_url)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// These without the resources of one type.
    pub fn without(&self, type_url: &str) -> Self {
        let mut types = self.types.clone();
        types.remove(type_url);
        Resources { types }
    }
}

/// One version for several resources: changes when any of them does, or their set.
pub(crate) fn version_of<'a>(resources: impl Iterator<Item = &'a Arc<Resource>>) -> String {
    let mut hash = Xxh3::new();
    for resource in resources {
        for part in [&resource.name, &resource.version] {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }
    }
    format!("{:032x}", hash.digest128())
}

#[cfg(test)]
mod tests {
    use super::{Resource, Resources, version_of};

    fn resources(of: &[(&'static str, &'static str)]) -> Resources {
        let mut resources = Resources::default();
        for (name, content) in of {
            resources.insert("type", Resource::new(*name, content.as_bytes().into()));
        }
        resources
    }

    fn version(of: &[(&'static str, &'static str)]) -> String {
        version_of(resources(of).of_type("type"))
    }

    #[test]
    fn a_version_depends_on_content_only() {
        let version = |content: &'static str| Resource::new("a", content.into()).version;
        assert_eq!(version("x"), version("x"));
        assert_ne!(version("x"), version("y"));
    }

    #[test]
    fn a_common_version_changes_with_every_part() {
        let common = version(&[("a", "x"), ("b", "y")]);
        assert_eq!(common, version(&[("b", "y"), ("a", "x")]));
        for other in [
            version(&[]),
            version(&[("a", "x")]),
            version(&[("a", "x"), ("b", "z")]),
            version(&[("a", "x"), ("c", "y")]),
        ] {
            assert_ne!(common, other);
        }
    }
}
