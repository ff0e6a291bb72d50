//! The table as the watches and writes change it.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, PartialObjectMeta, PartialObjectMetaExt};
use kube::core::Status;
use kube::runtime::watcher::Event;
use tokio::time::Instant;

use super::{Distribution, PAUSES, Table};
use crate::root_cert::{Write, next_write};

fn namespace(name: &str) -> PartialObjectMeta<Namespace> {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        ..Default::default()
    };
    metadata.into_request_partial::<Namespace>()
}

fn terminating(name: &str) -> PartialObjectMeta<Namespace> {
    let mut namespace = namespace(name);
    let now = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
    namespace.metadata.deletion_timestamp = Some(Time(now));
    namespace
}

fn config_map(namespace: &str, root: &str) -> ConfigMap {
    match next_write(namespace, None, root) {
        Write::Create(config_map) => config_map,
        other => panic!("expected a creation, got {other:?}"),
    }
}

/// A table after both first lists.
fn listed(namespaces: &[&str], config_maps: Vec<ConfigMap>) -> Table {
    let mut table = Table::default();
    table.namespace(Ok(Event::Init));
    table.config_map(Ok(Event::Init));
    for name in namespaces {
        table.namespace(Ok(Event::InitApply(namespace(name))));
    }
    for config_map in config_maps {
        table.config_map(Ok(Event::InitApply(config_map)));
    }
    table.namespace(Ok(Event::InitDone));
    table.config_map(Ok(Event::InitDone));
    table
}

/// The names that are written now; each write succeeds.
fn written(table: &mut Table, root: &str) -> Vec<String> {
    let now = Instant::now();
    let mut names = Vec::new();
    while let Some((namespace, write)) = table.next(root, now) {
        let stored = match write {
            Write::Create(stored) | Write::Replace(stored) => stored,
            Write::Nothing => panic!("nothing is no write"),
        };
        table.written(namespace.clone(), Ok(Some(stored)), now);
        names.push(namespace);
    }
    names
}

fn refused() -> kube::Error {
    kube::Error::Api(Box::new(
        Status::failure("not now", "Forbidden").with_code(403),
    ))
}

#[test]
fn nothing_is_written_before_both_lists_are_complete() {
    let mut table = Table::default();
    table.namespace(Ok(Event::Init));
    table.namespace(Ok(Event::InitApply(namespace("shop"))));
    table.namespace(Ok(Event::InitDone));
    table.config_map(Ok(Event::Init));
    assert_eq!(written(&mut table, "ROOT"), [""; 0]);
    table.config_map(Ok(Event::InitDone));
    assert_eq!(written(&mut table, "ROOT"), ["shop"]);
}

#[test]
fn only_what_differs_is_written_and_only_once() {
    let present = vec![config_map("shop", "ROOT"), config_map("bank", "OLD")];
    let mut table = listed(&["bank", "kube-public", "new", "shop"], present);
    assert_eq!(written(&mut table, "ROOT"), ["bank", "new"]);
    assert_eq!(written(&mut table, "ROOT"), [""; 0]);
}

#[test]
fn a_new_root_is_written_everywhere() {
    let mut table = listed(&["bank", "shop"], vec![]);
    written(&mut table, "ROOT");
    table.recheck_all();
    assert_eq!(written(&mut table, "NEW"), ["bank", "shop"]);
}

#[test]
fn deletions_and_edits_are_repaired() {
    let mut table = listed(&["bank", "shop"], vec![]);
    written(&mut table, "ROOT");
    table.config_map(Ok(Event::Delete(config_map("bank", "ROOT"))));
    assert_eq!(written(&mut table, "ROOT"), ["bank"]);
    table.config_map(Ok(Event::Apply(config_map("shop", "EDITED"))));
    assert_eq!(written(&mut table, "ROOT"), ["shop"]);
}

#[test]
fn what_a_relist_no_longer_shows_is_repaired() {
    let mut table = listed(&["bank", "shop"], vec![]);
    written(&mut table, "ROOT");
    // The watch broke; meanwhile one was deleted.
    table.config_map(Ok(Event::Init));
    table.config_map(Ok(Event::InitApply(config_map("shop", "ROOT"))));
    table.config_map(Ok(Event::InitDone));
    assert_eq!(written(&mut table, "ROOT"), ["bank"]);
}

#[test]
fn a_terminating_namespace_is_left_alone() {
    let mut table = listed(&["shop"], vec![]);
    table.namespace(Ok(Event::Apply(terminating("shop"))));
    assert_eq!(written(&mut table, "ROOT"), [""; 0]);
}

#[test]
fn a_namespace_is_not_written_twice_at_once() {
    let mut table = listed(&["shop"], vec![]);
    let now = Instant::now();
    assert!(table.next("ROOT", now).is_some());
    table.recheck_all();
    assert!(table.next("ROOT", now).is_none());
}

#[test]
fn a_failed_write_is_tried_again_with_growing_pauses_for_ever() {
    let mut table = listed(&["shop"], vec![]);
    let mut now = Instant::now();
    let mut pauses = Vec::new();
    for _ in 0..20 {
        let (namespace, _) = table.next("ROOT", now).expect("due");
        table.written(namespace, Err(refused()), now);
        assert!(table.next("ROOT", now).is_none(), "not before its time");
        let at = table.next_retry().expect("a retry");
        pauses.push(at - now);
        now = at;
    }
    assert_eq!(pauses[0], PAUSES.0);
    assert_eq!(pauses[1], PAUSES.0 * 2);
    assert_eq!(pauses[19], PAUSES.1);
    let (namespace, _) = table.next("ROOT", now).expect("due");
    table.written(namespace, Ok(Some(config_map("shop", "ROOT"))), now);
    assert_eq!(table.next_retry(), None);
}

#[test]
fn a_failed_write_is_forgotten_with_its_namespace() {
    let mut table = listed(&["shop"], vec![]);
    let now = Instant::now();
    let (name, _) = table.next("ROOT", now).expect("due");
    table.written(name, Err(refused()), now);
    table.namespace(Ok(Event::Delete(namespace("shop"))));
    let later = now + PAUSES.1;
    assert!(table.next("ROOT", later).is_none());
    assert_eq!(table.next_retry(), None);
}

#[test]
fn a_write_that_lost_a_race_is_compared_again() {
    let mut table = listed(&["shop"], vec![]);
    let now = Instant::now();
    let (namespace, _) = table.next("ROOT", now).expect("due");
    // Someone else's was there first.
    let theirs = config_map("shop", "THEIRS");
    table.written(namespace, Ok(Some(theirs)), now);
    let again = table.next("ROOT", now);
    assert!(matches!(again, Some((_, Write::Replace(_)))), "{again:?}");
}

fn counted(table: &mut Table, root: &str) -> (usize, usize) {
    let distribution = table.distribution(root).expect("listed");
    (distribution.held, distribution.wanted)
}

#[test]
fn who_holds_the_root_is_counted_as_it_changes() {
    assert_eq!(Table::default().distribution("ROOT"), None, "not listed");
    let present = vec![config_map("shop", "ROOT"), config_map("bank", "OLD")];
    let mut table = listed(&["bank", "kube-public", "new", "shop"], present);
    assert_eq!(counted(&mut table, "ROOT"), (1, 3));
    written(&mut table, "ROOT");
    assert_eq!(counted(&mut table, "ROOT"), (3, 3));
    table.config_map(Ok(Event::Delete(config_map("bank", "ROOT"))));
    assert_eq!(counted(&mut table, "ROOT"), (2, 3));
    table.namespace(Ok(Event::Delete(namespace("bank"))));
    table.namespace(Ok(Event::Apply(terminating("new"))));
    assert_eq!(counted(&mut table, "ROOT"), (1, 1));
    table.recheck_all();
    assert_eq!(counted(&mut table, "NEW"), (0, 1));
}

#[test]
fn where_it_cannot_be_written_is_named() {
    let mut table = listed(&["shop"], vec![]);
    let now = Instant::now();
    let (name, _) = table.next("ROOT", now).expect("due");
    table.written(name, Err(refused()), now);
    let expected = Distribution {
        held: 0,
        wanted: 1,
        failing: vec![format!("shop: {}", refused())],
    };
    assert_eq!(table.distribution("ROOT"), Some(expected));
}
