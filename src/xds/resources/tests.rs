//! Versions and differences follow from content.

use std::sync::Arc;

use super::{Resource, Resources, Table};

fn table(of: &[(&'static str, &'static str)]) -> Table {
    let mut table = Table::default();
    for (name, content) in of {
        table.insert(Arc::new(Resource::new(*name, content.as_bytes().into())));
    }
    table
}

fn differing(a: &Table, b: &Table) -> Vec<String> {
    a.differing(b).map(|name| name.to_string()).collect()
}

#[test]
fn a_version_depends_on_content_only() {
    let version = |content: &'static str| Resource::new("a", content.into()).version;
    assert_eq!(version("x"), version("x"));
    assert_ne!(version("x"), version("y"));
}

#[test]
fn a_common_version_changes_with_every_part() {
    let of = |of: &[(&'static str, &'static str)]| table(of).version().to_owned();
    let common = of(&[("a", "x"), ("b", "y")]);
    assert_eq!(common, of(&[("b", "y"), ("a", "x")]));
    for other in [
        of(&[]),
        of(&[("a", "x")]),
        of(&[("a", "x"), ("b", "z")]),
        of(&[("a", "x"), ("c", "y")]),
    ] {
        assert_ne!(common, other);
    }
}

#[test]
fn a_common_version_follows_changes() {
    let mut table = table(&[("a", "x")]);
    let first = table.version().to_owned();
    table.insert(Arc::new(Resource::new("b", "y".into())));
    assert_ne!(table.version(), first);
    table.remove("b");
    assert_eq!(table.version(), first);
}

#[test]
fn tables_differ_in_what_was_added_changed_and_removed() {
    let old = table(&[("a", "1"), ("b", "1"), ("c", "1")]);
    let mut new = old.clone();
    let resources = [("a", "1"), ("b", "2"), ("d", "1")];
    let resources = resources.map(|(name, content)| Arc::new(Resource::new(name, content.into())));
    new.become_only(resources);
    assert_eq!(differing(&old, &new), ["b", "c", "d"]);
    assert_eq!(differing(&new, &old), ["b", "c", "d"]);
    assert_eq!(differing(&new, &new.clone()), Vec::<String>::new());
    assert_eq!(new, table(&[("a", "1"), ("b", "2"), ("d", "1")]));
    let (kept, was) = (new.get("a").expect("there"), old.get("a").expect("there"));
    assert!(Arc::ptr_eq(kept, was));
}

#[test]
fn a_type_that_was_never_filled_is_an_empty_table() {
    let mut resources = Resources::default();
    assert_eq!(resources.table("type").iter().count(), 0);
    assert!(!resources.has("type"));
    resources.insert("type", Resource::new("a", "x".into()));
    assert_eq!(resources.table("type").iter().count(), 1);
    assert!(!resources.without("type").has("type"));
}
