//! What a proxy is to have: resources by type and name, each with a version made from its content.
//! Tables share structure between their versions, so that a step costs what changed and not what there is.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use base::ObjectRef;
use bytes::Bytes;
use imbl::OrdMap;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// One encoded xDS resource. Equal when name and version are, since the version is made from the content.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its name, unique within its type.
    pub name: Arc<str>,
    /// Hash of the content: equal on every replica that made the same resource.
    pub version: u128,
    /// The encoded message.
    pub bytes: Bytes,
    /// The objects of users that it was made from.
    pub origin: Vec<ObjectRef>,
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.version == other.version
    }
}

impl Eq for Resource {}

impl Resource {
    /// A resource with the version of its content.
    pub fn new(name: impl Into<Arc<str>>, bytes: Bytes) -> Self {
        Resource {
            name: name.into(),
            version: xxh3_128(&bytes),
            bytes,
            origin: Vec::new(),
        }
    }

    /// The version as it is sent.
    pub fn version_text(&self) -> String {
        format!("{:032x}", self.version)
    }
}

/// A version as it was sent; `None` for one that is not of this form, which equals no version.
pub(crate) fn parse_version(text: &str) -> Option<u128> {
    (text.len() == 32)
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

/// The resources of one type, by name.
#[derive(Clone, Debug, Default)]
pub struct Table {
    entries: OrdMap<Arc<str>, Arc<Resource>>,
    version: OnceLock<String>,
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for Table {}

impl Table {
    /// Adds `resource`, or replaces the one of the same name. An equal one stays the same value.
    pub fn insert(&mut self, resource: Arc<Resource>) {
        if self.entries.get(&resource.name) != Some(&resource) {
            self.entries.insert(resource.name.clone(), resource);
            self.version = OnceLock::new();
        }
    }

    /// Takes a resource out.
    pub fn remove(&mut self, name: &str) {
        if self.entries.remove(name).is_some() {
            self.version = OnceLock::new();
        }
    }

    /// One resource.
    pub fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        self.entries.get(name)
    }

    /// All resources, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.entries.values()
    }

    /// Makes this table one of exactly `resources`; what stays equal is shared with what was.
    pub fn become_only(&mut self, resources: impl IntoIterator<Item = Arc<Resource>>) {
        let mut stale: std::collections::BTreeSet<Arc<str>> =
            self.entries.keys().cloned().collect();
        for resource in resources {
            stale.remove(&resource.name);
            self.insert(resource);
        }
        for name in stale {
            self.remove(&name);
        }
    }

    /// One version for all: changes when any of them does, or their set.
    pub fn version(&self) -> &str {
        self.version.get_or_init(|| version_of(self.iter()))
    }

    /// Names whose resource differs between this table and another. Costs what differs.
    pub fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Arc<str>> {
        self.entries.diff(&other.entries).map(|item| match item {
            imbl::ordmap::DiffItem::Add(name, _)
            | imbl::ordmap::DiffItem::Remove(name, _)
            | imbl::ordmap::DiffItem::Update { new: (name, _), .. } => name,
        })
    }
}

/// Everything that a proxy may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    types: BTreeMap<String, Table>,
}

impl Resources {
    /// Adds `resource`, or replaces the one of the same type and name.
    pub fn insert(&mut self, type_url: &str, resource: Resource) {
        self.table_mut(type_url).insert(Arc::new(resource));
    }

    /// One resource.
    pub fn get(&self, type_url: &str, name: &str) -> Option<&Arc<Resource>> {
        self.types.get(type_url)?.get(name)
    }

    /// All resources of a type, ordered by name.
    pub fn of_type(&self, type_url: &str) -> impl Iterator<Item = &Arc<Resource>> {
        self.types.get(type_url).into_iter().flat_map(Table::iter)
    }

    /// The table of a type, empty when there is none.
    pub fn table(&self, type_url: &str) -> &Table {
        static NONE: std::sync::LazyLock<Table> = std::sync::LazyLock::new(Table::default);
        self.types.get(type_url).unwrap_or(&NONE)
    }

    /// The table of a type, to be changed.
    pub fn table_mut(&mut self, type_url: &str) -> &mut Table {
        if !self.types.contains_key(type_url) {
            self.types.insert(type_url.to_owned(), Table::default());
        }
        self.types.get_mut(type_url).expect("inserted above")
    }

    /// These without the resources of one type.
    pub fn without(&self, type_url: &str) -> Self {
        let mut types = self.types.clone();
        types.remove(type_url);
        Resources { types }
    }

    /// Whether a type is there at all.
    pub fn has(&self, type_url: &str) -> bool {
        self.types.contains_key(type_url)
    }
}

/// One version for several resources: changes when any of them does, or their set.
pub(crate) fn version_of<'a>(resources: impl Iterator<Item = &'a Arc<Resource>>) -> String {
    let mut hash = Xxh3::new();
    for resource in resources {
        hash.update(resource.name.as_bytes());
        hash.update(&[0]);
        hash.update(&resource.version.to_be_bytes());
    }
    format!("{:032x}", hash.digest128())
}

#[cfg(test)]
mod tests;
