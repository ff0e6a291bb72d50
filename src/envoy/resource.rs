//! What a proxy is to have: encoded resources by type and name, each with a version made from its
//! content and the objects that it came from. Tables share structure between their versions, so
//! that a step costs what changed and not what there is.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use base::ObjectRef;
use bytes::Bytes;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use proto::wire::Entry;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::EndpointView;

/// One encoded xDS resource. Equal when name, version and origin are, since the version is made from
/// the content. What comes from other objects is another value, but no news for a proxy: streams
/// compare versions.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its name, unique within its type.
    pub name: Arc<str>,
    /// Hash of the content: equal on every replica that derived the same.
    pub version: u128,
    /// The objects that it was made from, without repetition, by name.
    pub origin: Vec<Arc<ObjectRef>>,
    entry: Entry,
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.name == other.name && self.origin == other.origin
    }
}

impl Eq for Resource {}

impl Resource {
    /// A resource with the version of its content.
    pub fn new(
        type_url: &str,
        name: impl Into<Arc<str>>,
        bytes: &[u8],
        mut origin: Vec<Arc<ObjectRef>>,
    ) -> Self {
        // Names differ first; comparing all of them for each of many objects would cost more than the content.
        origin.sort_unstable_by(|a, b| (&a.name, a).cmp(&(&b.name, b)));
        origin.dedup();
        origin.shrink_to_fit();
        let name = name.into();
        let version = xxh3_128(bytes);
        Resource {
            entry: Entry::new(type_url, &name, text_of(&digits(version)), bytes),
            version,
            name,
            origin,
        }
    }

    /// The encoded message.
    pub fn bytes(&self) -> Bytes {
        self.entry.value()
    }

    /// As responses carry it.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The version as it is sent.
    pub fn version_text(&self) -> String {
        version_text(self.version)
    }
}

fn version_text(version: u128) -> String {
    text_of(&digits(version)).to_owned()
}

/// A version in hexadecimal digits.
fn digits(version: u128) -> [u8; 32] {
    let mut digits = [0; 32];
    for (byte, pair) in version.to_be_bytes().iter().zip(digits.chunks_exact_mut(2)) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    digits
}

fn text_of(digits: &[u8]) -> &str {
    std::str::from_utf8(digits).expect("digits are ASCII")
}

/// A version as it was sent; `None` for one that is not of this form, which equals no version.
pub fn parse_version(text: &str) -> Option<u128> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 32 {
        return None;
    }
    text.bytes()
        .try_fold(0, |sum, byte| Some(sum << 4 | u128::from(digit(byte)?)))
}

/// One version for several resources: changes when any of them does, or their set.
pub fn version_of<'a>(resources: impl Iterator<Item = &'a Arc<Resource>>) -> String {
    let mut hash = Xxh3::new();
    for resource in resources {
        hash.update(resource.name.as_bytes());
        hash.update(&[0]);
        hash.update(&resource.version.to_be_bytes());
    }
    version_text(hash.digest128())
}

/// The resources of one type, by name.
#[derive(Clone, Debug, Default)]
pub struct Table {
    entries: OrdMap<Arc<str>, Arc<Resource>>,
    version: OnceLock<Arc<str>>,
    names: OnceLock<Arc<[Arc<str>]>>,
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.is(other) || self.entries == other.entries
    }
}

impl Eq for Table {}

impl Table {
    /// Adds `resource`, or replaces the one of the same name. An equal one stays the same value.
    pub fn insert(&mut self, resource: Arc<Resource>) {
        let name = match self.entries.get(&resource.name) {
            Some(known) if Arc::ptr_eq(known, &resource) || **known == *resource => return,
            // One text for the name, whatever happens to its content.
            Some(known) => known.name.clone(),
            None => {
                self.names = OnceLock::new();
                resource.name.clone()
            }
        };
        self.entries.insert(name, resource);
        self.version = OnceLock::new();
    }

    /// Takes a resource out.
    pub fn remove(&mut self, name: &str) {
        if self.entries.remove(name).is_some() {
            self.version = OnceLock::new();
            self.names = OnceLock::new();
        }
    }

    /// One resource.
    pub fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        self.entries.get(name)
    }

    /// All resources, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> + Clone {
        self.entries.iter().map(|(_, resource)| resource)
    }

    /// The names of all resources, in order: one list as long as the set of names stays.
    pub fn names(&self) -> &Arc<[Arc<str>]> {
        self.names
            .get_or_init(|| self.entries.keys().cloned().collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether both are the same version, without looking at the resources.
    pub fn is(&self, other: &Self) -> bool {
        self.entries.ptr_eq(&other.entries)
    }

    /// Makes this table one of exactly `resources`; what stays equal is shared with what was.
    pub fn become_only(&mut self, resources: impl IntoIterator<Item = Arc<Resource>>) {
        let resources = resources.into_iter();
        let resources = resources.map(|resource| (resource.name.clone(), resource));
        let step = become_only(&mut self.entries, resources.collect());
        if step.names {
            self.names = OnceLock::new();
        }
        if step.names || step.values {
            self.version = OnceLock::new();
        }
    }

    /// One version for all: changes when any of them does, or their set.
    pub fn version(&self) -> &Arc<str> {
        self.version.get_or_init(|| version_of(self.iter()).into())
    }

    /// Names whose resource differs between this table and another. Costs what differs.
    pub fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Arc<str>> {
        let differing = (!self.is(other)).then(|| self.entries.diff(&other.entries));
        differing.into_iter().flatten().map(|item| match item {
            DiffItem::Add(name, _)
            | DiffItem::Remove(name, _)
            | DiffItem::Update { new: (name, _), .. } => name,
        })
    }
}

/// What changed in a map.
pub(crate) struct Step {
    names: bool,
    values: bool,
}

/// Makes a map one of exactly these; of several with one name the last counts. What stays equal is not touched,
/// and where nothing changed it costs one look at each.
pub(crate) fn become_only<V: PartialEq>(
    map: &mut OrdMap<Arc<str>, Arc<V>>,
    mut wanted: Vec<(Arc<str>, Arc<V>)>,
) -> Step {
    if !wanted.is_sorted_by(|(a, _), (b, _)| a <= b) {
        wanted.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    let mut wanted = wanted.into_iter().peekable();
    let mut known = map.iter().peekable();
    let (mut gone, mut added, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    while let Some((name, value)) = wanted.next() {
        if wanted.peek().is_some_and(|(next, _)| *next == name) {
            continue;
        }
        while let Some((before, _)) = known.next_if(|(before, _)| **before < name) {
            gone.push(before.clone());
        }
        match known.next_if(|(before, _)| **before == name) {
            Some((_, before)) if Arc::ptr_eq(before, &value) || *before == value => {}
            // One text for the name, whatever happens to its content.
            Some((before, _)) => changed.push((before.clone(), value)),
            None => added.push((name, value)),
        }
    }
    gone.extend(known.map(|(name, _)| name.clone()));
    let step = Step {
        names: !gone.is_empty() || !added.is_empty(),
        values: !changed.is_empty(),
    };
    for name in gone {
        map.remove(&name);
    }
    for (name, value) in added.into_iter().chain(changed) {
        map.insert(name, value);
    }
    step
}

/// How endpoints are to be assigned, by the name of their cluster.
pub type Views = OrdMap<Arc<str>, Arc<EndpointView>>;

/// Everything that a proxy may ask for.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    types: BTreeMap<&'static str, Table>,
    /// How the endpoints of each EDS cluster are to be assigned; those who know endpoints add them.
    pub endpoints: Views,
    /// What the memo knows of these, kept as long as they are.
    pub(crate) kept: Vec<Kept>,
}

/// A value of the memo, whatever it is.
#[derive(Clone)]
pub(crate) struct Kept {
    _value: Arc<dyn Any + Send + Sync>,
}

impl Kept {
    pub(crate) fn new(value: Arc<dyn Any + Send + Sync>) -> Self {
        Kept { _value: value }
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        self.types == other.types && self.endpoints == other.endpoints
    }
}

impl Eq for Resources {}

impl Resources {
    /// Adds `resource`, or replaces the one of the same type and name.
    pub fn insert(&mut self, type_url: &'static str, resource: Resource) {
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
        static NONE: LazyLock<Table> = LazyLock::new(Table::default);
        self.types.get(type_url).unwrap_or(&NONE)
    }

    /// The table of a type, to be changed.
    pub fn table_mut(&mut self, type_url: &'static str) -> &mut Table {
        self.types.entry(type_url).or_default()
    }

    /// All tables, by the URL of their type.
    pub fn tables(&self) -> impl Iterator<Item = (&'static str, &Table)> {
        self.types
            .iter()
            .map(|(type_url, table)| (*type_url, table))
    }

    /// These without the resources of one type.
    pub fn without(&self, type_url: &str) -> Self {
        let mut left = self.clone();
        left.types.remove(type_url);
        left
    }

    /// Whether a type is there at all.
    pub fn has(&self, type_url: &str) -> bool {
        self.types.contains_key(type_url)
    }

    pub(crate) fn keep(&mut self, value: Arc<impl Any + Send + Sync>) {
        self.kept.push(Kept::new(value));
    }
}

#[cfg(test)]
mod tests;
