//! The names that a stream follows, kept small: most proxies follow exactly the names that a table
//! has, and share the table's list of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::Table;

/// A set of names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Names of some table, in order.
    like: Option<Arc<[Arc<str>]>>,
    /// Names beside those.
    more: BTreeSet<Arc<str>>,
    /// Names of those that are not followed.
    less: BTreeSet<Arc<str>>,
}

/// Names that were asked for.
#[derive(Debug)]
pub(super) enum Added {
    /// Exactly those of the table, and of no other.
    AllOfTable,
    /// These.
    These(Vec<Arc<str>>),
}

impl Names {
    pub fn contains(&self, name: &str) -> bool {
        self.more.contains(name) || self.is_like(name) && !self.less.contains(name)
    }

    fn is_like(&self, name: &str) -> bool {
        let like = self.like.as_deref().unwrap_or_default();
        like.binary_search_by(|known| (**known).cmp(name)).is_ok()
    }

    /// Whether these are exactly the names of a table.
    pub fn are_all_of(&self, table: &Table) -> bool {
        let like = self.like.as_ref();
        self.more.is_empty()
            && self.less.is_empty()
            && like.is_some_and(|like| Arc::ptr_eq(like, table.names()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        let like = self.like.as_deref().unwrap_or_default().iter();
        like.filter(|name| !self.less.contains(*name))
            .chain(&self.more)
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Adds names, spelled as in `table` where it has them; says which these are.
    pub fn add(&mut self, names: &[String], table: &Table) -> Added {
        if self.is_empty()
            && names.len() == table.len()
            && let Some(like) = sorted_like(names, table)
        {
            *self = Names {
                like: Some(like.clone()),
                ..Names::default()
            };
            return Added::AllOfTable;
        }
        let mut added = Vec::new();
        for name in names {
            let name = match table.get(name) {
                Some(resource) => resource.name.clone(),
                None => name.as_str().into(),
            };
            if self.is_like(&name) {
                self.less.remove(&name);
            } else {
                self.more.insert(name.clone());
            }
            added.push(name);
        }
        self.settle(table);
        Added::These(added)
    }

    /// Takes a name out; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        if self.more.remove(name) {
            return true;
        }
        self.is_like(name) && self.less.insert(name.into())
    }

    /// Shares the list of `table` when these have become its names.
    pub fn settle(&mut self, table: &Table) {
        if self.more.is_empty() && self.less.is_empty() {
            return;
        }
        let like = self.like.as_ref().map_or(0, |like| like.len());
        let count = like + self.more.len() - self.less.len();
        if count != table.len() {
            return;
        }
        let names = table.names();
        if names.iter().all(|name| self.contains(name)) {
            *self = Names {
                like: Some(names.clone()),
                ..Names::default()
            };
        }
    }
}

impl Added {
    /// One by one.
    pub fn names(self, table: &Table) -> Vec<Arc<str>> {
        match self {
            Added::AllOfTable => table.names().to_vec(),
            Added::These(names) => names,
        }
    }
}

/// The list of a table's names, if `names` are these.
fn sorted_like<'a>(names: &[String], table: &'a Table) -> Option<&'a Arc<[Arc<str>]>> {
    let own = table.names();
    let are = |mut names: Box<dyn Iterator<Item = &str> + '_>| {
        own.iter().all(|own| names.next() == Some(own))
    };
    if names.is_sorted() {
        return are(Box::new(names.iter().map(String::as_str))).then_some(own);
    }
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    are(Box::new(sorted.into_iter())).then_some(own)
}
