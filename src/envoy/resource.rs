//! What a proxy is to have: encoded resources by type and name, each with a version made from its
//! content and the objects that it came from.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::ObjectRef;
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use crate::EndpointView;

/// One encoded xDS resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Hash of the content: equal on every replica that derived the same.
    pub version: u128,
    /// The encoded message.
    pub bytes: Bytes,
    /// The objects that it was made from, without repetition.
    pub origin: Vec<ObjectRef>,
}

impl Resource {
    /// A resource with the version of its content.
    pub fn new(bytes: Bytes, mut origin: Vec<ObjectRef>) -> Self {
        origin.sort();
        origin.dedup();
        Resource {
            version: xxh3_128(&bytes),
            bytes,
            origin,
        }
    }
}

/// Everything that a proxy may ask for, but endpoints, of which there are the views.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    /// By type URL, then by name.
    pub types: BTreeMap<&'static str, BTreeMap<String, Arc<Resource>>>,
    /// How the endpoints of each EDS cluster are to be assigned, by name of the cluster.
    pub endpoints: BTreeMap<String, Arc<EndpointView>>,
}

impl Resources {
    /// The resources of a type, by name.
    pub fn of_type(&self, type_url: &str) -> impl Iterator<Item = (&String, &Arc<Resource>)> {
        self.types.get(type_url).into_iter().flatten()
    }

    pub(crate) fn insert(&mut self, type_url: &'static str, name: String, resource: Resource) {
        let of_type = self.types.entry(type_url).or_default();
        of_type.insert(name, Arc::new(resource));
    }
}
