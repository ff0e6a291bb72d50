//! Events in the orders in which they really arrive.

use base::ObjectRef;
use install::Owner;

use super::Inventory;
use crate::kind::KINDS;
use crate::{Kind, Live, State};

fn services() -> &'static Kind {
    let found = KINDS.iter().find(|kind| kind.kind == "Service");
    found.expect("a kind of the table")
}

fn owner(name: &str) -> Owner {
    Owner {
        name: name.into(),
        namespace: "istio-system".into(),
    }
}

fn service(name: &str, uid: &str, version: u64) -> Live {
    Live {
        reference: services().reference(Some("istio-system".into()), name.into()),
        uid: uid.into(),
        resource_version: version.to_string(),
        owner: Some(owner("mesh")),
        component: None,
        not_pruned: false,
        ignored: false,
        applied: true,
        deleting: false,
        fields: version,
        other_manager: None,
        state: State::Exists,
    }
}

fn reference(name: &str) -> ObjectRef {
    service(name, "", 0).reference
}

fn version(inventory: &Inventory, name: &str) -> Option<String> {
    let live = inventory.get(&reference(name))?;
    Some(live.resource_version.clone())
}

#[test]
fn an_older_view_never_replaces_a_newer_one() {
    let mut inventory = Inventory::default();
    inventory.observe(service("a", "1", 10));
    assert!(inventory.observe(service("a", "1", 9)).is_empty());
    assert_eq!(version(&inventory, "a").as_deref(), Some("10"));
}

#[test]
fn a_successor_replaces_whatever_its_version() {
    let mut inventory = Inventory::default();
    inventory.observe(service("a", "1", 10));
    assert_eq!(inventory.observe(service("a", "2", 3)), [owner("mesh")]);
    assert_eq!(version(&inventory, "a").as_deref(), Some("3"));
}

#[test]
fn the_end_of_a_predecessor_leaves_the_successor() {
    let mut inventory = Inventory::default();
    inventory.observe(service("a", "2", 20));
    assert_eq!(inventory.forget(&service("a", "1", 10)), None);
    assert!(version(&inventory, "a").is_some());
    assert_eq!(
        inventory.forget(&service("a", "2", 21)),
        Some(owner("mesh"))
    );
    assert_eq!(version(&inventory, "a"), None);
}

#[test]
fn a_change_of_nothing_but_the_version_concerns_nobody() {
    let mut inventory = Inventory::default();
    inventory.observe(service("a", "1", 10));
    let touched = Live {
        resource_version: "11".into(),
        ..service("a", "1", 10)
    };
    assert!(inventory.observe(touched).is_empty());
    assert_eq!(version(&inventory, "a").as_deref(), Some("11"));
}

#[test]
fn a_change_of_labels_concerns_both_owners() {
    let mut inventory = Inventory::default();
    inventory.observe(service("a", "1", 10));
    let taken = Live {
        owner: Some(owner("other")),
        ..service("a", "1", 11)
    };
    assert_eq!(inventory.observe(taken), [owner("other"), owner("mesh")]);
}

#[test]
fn a_listing_removes_what_it_does_not_name_but_not_what_was_written_meanwhile() {
    let mut inventory = Inventory::default();
    inventory.observe(service("kept", "1", 10));
    inventory.observe(service("gone", "2", 11));
    inventory.begin(services());
    inventory.observe(service("kept", "1", 10));
    inventory.observe(service("written", "3", 30));
    assert_eq!(inventory.finish(services()), [owner("mesh")]);
    let names: Vec<_> = inventory
        .iter()
        .map(|live| live.reference.name.as_str())
        .collect();
    assert_eq!(names, ["kept", "written"]);
}
