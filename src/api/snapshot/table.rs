//! An ordered map of objects that shares structure between its versions.

use std::sync::Arc;

use imbl::ordmap::DiffItem;

/// Namespace and name; the namespace of cluster-scoped objects is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl Key {
    /// The key of an object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Key {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// Objects of one kind, by namespace and name.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<T: PartialEq>(imbl::OrdMap<Key, Arc<T>>);

impl<T: PartialEq> Default for Table<T> {
    fn default() -> Self {
        Table(imbl::OrdMap::new())
    }
}

impl<T: PartialEq> Table<T> {
    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Arc<T>> {
        self.0.get(key)
    }

    /// Puts an object; says whether that changed anything.
    pub fn insert(&mut self, key: Key, value: T) -> bool {
        if self.0.get(&key).is_some_and(|old| **old == value) {
            return false;
        }
        self.0.insert(key, Arc::new(value));
        true
    }

    /// Takes an object out; says whether it was there.
    pub fn remove(&mut self, key: &Key) -> bool {
        self.0.remove(key).is_some()
    }

    /// All objects, by namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<T>)> {
        self.0.iter()
    }

    /// All objects without their keys, in the order of these.
    pub fn values(&self) -> impl Iterator<Item = &Arc<T>> {
        self.0.values()
    }

    /// The objects of one namespace.
    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<T>> + use<'_, T> {
        // Many a mesh has none of a kind that every proxy is asked about.
        let any = (!self.0.is_empty()).then(|| {
            let first = Key::new(namespace, "");
            let own = first.namespace.clone();
            let from = self.0.range(first..);
            from.take_while(move |(key, _)| key.namespace == own)
        });
        any.into_iter().flatten().map(|(_, value)| value)
    }

    /// Keeps only the objects of namespaces that are `seen`.
    pub fn retain(&mut self, seen: impl Fn(&str) -> bool) {
        let unseen = self.0.keys().filter(|key| !seen(&key.namespace));
        let unseen: Vec<Key> = unseen.cloned().collect();
        for key in unseen {
            self.0.remove(&key);
        }
    }

    /// What differs from the table before: each object as it was, and as it is. Costs what differs.
    pub fn differing<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (Option<&'a Arc<T>>, Option<&'a Arc<T>>)> {
        before.0.diff(&self.0).map(|item| match item {
            DiffItem::Add(_, new) => (None, Some(new)),
            DiffItem::Remove(_, old) => (Some(old), None),
            DiffItem::Update { old, new } => (Some(old.1), Some(new.1)),
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both are the same version, without looking at the objects.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}
