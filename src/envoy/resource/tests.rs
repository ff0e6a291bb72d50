//! Versions and differences follow from content.

use std::sync::Arc;

use base::ObjectRef;

use super::{Resource, Resources, Table};

fn resource(name: &str, content: &str) -> Resource {
    Resource::new("type", name, content.as_bytes(), Vec::new())
}

fn table(of: &[(&'static str, &'static str)]) -> Table {
    let mut table = Table::default();
    for (name, content) in of {
        table.insert(Arc::new(resource(name, content)));
    }
    table
}

fn differing(a: &Table, b: &Table) -> Vec<String> {
    a.differing(b).map(|name| name.to_string()).collect()
}

#[test]
fn a_version_depends_on_content_only() {
    let version = |content: &'static str| resource("a", content).version;
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
    table.insert(Arc::new(resource("b", "y")));
    assert_ne!(*table.version(), first);
    table.remove("b");
    assert_eq!(*table.version(), first);
}

#[test]
fn tables_differ_in_what_was_added_changed_and_removed() {
    let old = table(&[("a", "1"), ("b", "1"), ("c", "1")]);
    let mut new = old.clone();
    let resources = [("a", "1"), ("b", "2"), ("d", "1")];
    let resources = resources.map(|(name, content)| Arc::new(resource(name, content)));
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
    resources.insert("type", resource("a", "x"));
    assert_eq!(resources.table("type").iter().count(), 1);
    assert!(!resources.without("type").has("type"));
}

#[test]
fn the_list_of_names_stays_as_long_as_the_names_do() {
    let mut table = table(&[("a", "1"), ("b", "1")]);
    let names = table.names().clone();
    table.insert(Arc::new(resource("a", "2")));
    assert!(Arc::ptr_eq(table.names(), &names));
    table.remove("b");
    assert_eq!(table.names().len(), 1);
}

#[test]
fn an_equal_resource_leaves_the_table_as_it_is() {
    let mut table = table(&[("a", "1"), ("b", "1")]);
    let before = table.clone();
    table.insert(Arc::new(resource("a", "1")));
    table.become_only([resource("b", "1"), resource("a", "1")].map(Arc::new));
    assert!(table.is(&before));
}

#[test]
fn what_comes_from_another_object_takes_its_place_without_being_news() {
    let from = |object: &str| {
        let origin = ObjectRef {
            api_version: "networking.istio.io/v1".to_owned(),
            kind: "VirtualService".to_owned(),
            namespace: None,
            name: object.to_owned(),
        };
        Arc::new(Resource::new("type", "a", b"x", vec![Arc::new(origin)]))
    };
    let mut before = Table::default();
    before.insert(from("old"));
    let names = before.names().clone();
    let (mut inserted, mut replaced) = (before.clone(), before.clone());
    inserted.insert(from("new"));
    replaced.become_only([from("new")]);
    for after in [&inserted, &replaced] {
        let resource = after.get("a").expect("there");
        assert_eq!(resource.origin[0].name, "new");
        assert_eq!(after.version(), before.version());
        assert!(Arc::ptr_eq(after.names(), &names));
        assert_ne!(*after, before);
    }
    let known = inserted.clone();
    inserted.insert(from("new"));
    assert!(inserted.is(&known));
}

#[test]
fn content_reads_as_it_was_put_in() {
    let made = resource("a", "content");
    assert_eq!(made.bytes()[..], b"content"[..]);
}
