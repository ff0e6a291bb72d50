//! The state follows from what objects say, not from the order in which that was told.

use std::sync::Arc;
use std::time::Duration;

use api::features::Features;
use api::snapshot::{HostId, Key, Snapshot, World};
use tokio::time::timeout;

use super::{State, Store};
use crate::files::read_text;
use crate::{Change, MeshMap};

const SHOP: &str = include_str!("../testdata/shop.yaml");
const SOON: Duration = Duration::from_secs(10);

/// One for each object: what was written goes to nothing that is compared here.
fn changes(text: &str) -> Vec<Change> {
    let mesh_map = MeshMap::of_revision("istio-system", "default");
    let mut changes = read_text(text, &mesh_map).expect("YAML");
    changes.retain(|change| !matches!(change, Change::Written(..)));
    changes
}

fn shop_with(from: &str, to: &str) -> Vec<Change> {
    assert!(SHOP.contains(from), "{from}");
    changes(&SHOP.replace(from, to))
}

/// All that can be told apart of a world.
fn seen(world: &World) -> (Snapshot, Vec<(HostId, String)>) {
    let endpoints = world.endpoints().iter();
    let endpoints = endpoints.map(|(host, of_host)| (host.clone(), format!("{of_host:?}")));
    (world.snapshot().clone(), endpoints.collect())
}

/// The histories of several objects in some order; that of each single one keeps its own.
fn interleaved(mut histories: Vec<Vec<Change>>, random: &mut fastrand::Rng) -> Vec<Change> {
    let mut all = Vec::new();
    for history in &mut histories {
        history.reverse();
    }
    while !histories.is_empty() {
        let index = random.usize(..histories.len());
        match histories[index].pop() {
            Some(change) => all.push(change),
            None => {
                histories.swap_remove(index);
            }
        }
    }
    all
}

fn removal(change: &Change) -> Change {
    match change {
        Change::Put(item) => Change::Remove(item.kind(), item.key().clone()),
        _ => Change::Configure(Box::default()),
    }
}

fn after(changes: Vec<Change>) -> World {
    let mut state = State::new("cluster.local", Features::default(), 0);
    state.take_in(changes);
    state.world().clone()
}

#[test]
fn any_order_of_the_same_events_gives_the_same_state() {
    let before = changes(SHOP);
    let edited = shop_with("version: v1", "version: v2");
    let expected = seen(&after(edited.clone()));
    assert_eq!(expected.1.len(), 3, "{:?}", expected.1);
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let histories = before.iter().zip(&edited);
        let histories = histories.map(|(first, last)| match random.u8(..4) {
            0 => vec![last.clone()],
            1 => vec![first.clone(), last.clone()],
            2 => vec![first.clone(), removal(first), last.clone()],
            _ => vec![last.clone(), first.clone(), last.clone(), last.clone()],
        });
        let told = interleaved(histories.collect(), &mut random.fork());
        assert_eq!(seen(&after(told)), expected, "seed {seed}");
    }
}

#[test]
fn what_was_removed_leaves_nothing_behind() {
    let nothing = seen(&after(Vec::new()));
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let histories = changes(SHOP)
            .into_iter()
            .map(|change| vec![change.clone(), removal(&change)]);
        let told = interleaved(histories.collect(), &mut random);
        assert_eq!(seen(&after(told)), nothing, "seed {seed}");
    }
}

#[test]
fn an_event_that_changes_no_used_field_touches_nothing() {
    let mut state = State::new("cluster.local", Features::default(), 0);
    assert!(!state.take_in(changes(SHOP)).is_empty());
    assert!(state.take_in(changes(SHOP)).is_empty());
    let of_no_use = shop_with(
        "metadata: {name: reviews-1,",
        "metadata: {resourceVersion: '7', name: reviews-1,",
    );
    assert!(state.take_in(of_no_use).is_empty());
}

#[test]
fn an_endpoint_change_touches_its_host_only() {
    let mut state = State::new("cluster.local", Features::default(), 0);
    state.take_in(changes(SHOP));
    let touched = state.take_in(shop_with(
        "{addresses: [10.1.0.1], conditions: {ready: true}",
        "{addresses: [10.1.0.1], conditions: {ready: false, terminating: false}",
    ));
    let hosts: Vec<_> = touched.hosts.iter().map(|id| id.host.as_str()).collect();
    assert_eq!(hosts, ["reviews.shop.svc.cluster.local"]);
    assert!(!touched.relations);
}

#[test]
fn a_secret_touches_no_relations_and_no_hosts() {
    let mut state = State::new("cluster.local", Features::default(), 0);
    state.take_in(changes(SHOP));
    let secret = |key: &str| {
        changes(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: tls, namespace: shop}}, stringData: {{tls.crt: a, tls.key: {key}}}}}"
        ))
    };
    let touched = state.take_in(secret("b"));
    assert!(touched.secrets && !touched.relations && touched.hosts.is_empty());
    assert!(state.take_in(secret("b")).is_empty());
    assert!(state.take_in(secret("c")).secrets);
}

#[test]
fn a_refused_object_counts_as_gone_and_refused_settings_stay() {
    let mut state = State::new("cluster.local", Features::default(), 0);
    state.take_in(changes(SHOP));
    state.take_in(shop_with("hosts: [reviews]", "hosts: 7"));
    let snapshot = state.world().snapshot();
    assert!(
        snapshot
            .virtual_services
            .get(&Key::new("shop", "reviews"))
            .is_none()
    );
    assert_eq!(snapshot.destination_rules.len(), 1);
    state.take_in(shop_with(
        "accessLogFile: /dev/stdout",
        "accessLogFile: [7]",
    ));
    assert_eq!(state.world().snapshot().mesh.access_log_file, "/dev/stdout");
}

#[tokio::test]
async fn nothing_is_handed_out_before_every_source_is_complete() {
    let (store, sender, mut view) = Store::new("cluster.local", Features::default(), 2);
    let running = tokio::spawn(store.run());
    let mut first = changes(SHOP);
    first.push(Change::Complete);
    sender.send(first).await.expect("running");
    sender.send(Vec::new()).await.expect("running");
    tokio::task::yield_now().await;
    assert!(view.snapshots.borrow().is_none() && view.worlds.borrow().is_none());
    sender.send(vec![Change::Complete]).await.expect("running");
    timeout(SOON, view.snapshots.wait_for(Option::is_some))
        .await
        .expect("in time")
        .expect("running");
    assert!(view.worlds.borrow().is_some());
    drop(sender);
    timeout(SOON, running)
        .await
        .expect("ends with its sources")
        .expect("no panic");
}

#[tokio::test]
async fn an_empty_world_is_handed_out_too() {
    let (store, sender, mut view) = Store::new("cluster.local", Features::default(), 1);
    tokio::spawn(store.run());
    sender.send(vec![Change::Complete]).await.expect("running");
    let snapshot = timeout(SOON, view.snapshots.wait_for(Option::is_some)).await;
    assert!(snapshot.expect("in time").is_ok());
}

#[tokio::test]
async fn readers_are_woken_for_what_concerns_them_only() {
    let (store, sender, mut view) = Store::new("cluster.local", Features::default(), 1);
    tokio::spawn(store.run());
    let mut first = changes(SHOP);
    first.push(Change::Complete);
    sender.send(first).await.expect("running");
    let snapshots = &mut view.snapshots;
    timeout(SOON, snapshots.wait_for(Option::is_some))
        .await
        .expect("in time")
        .expect("running");
    let relations: Arc<Snapshot> = snapshots.borrow_and_update().clone().expect("complete");
    view.worlds.mark_unchanged();

    // Endpoints alone: the snapshot stays the same value.
    let text = "{addresses: [10.1.0.1], conditions: {ready: true}";
    let away = shop_with(
        text,
        "{addresses: [10.1.0.1], conditions: {ready: false, terminating: false}",
    );
    sender.send(away).await.expect("running");
    timeout(SOON, view.worlds.changed())
        .await
        .expect("in time")
        .expect("running");
    assert!(!view.snapshots.has_changed().expect("running"));
    let same = view.snapshots.borrow().clone().expect("complete");
    assert!(Arc::ptr_eq(&same, &relations));

    // Relations alone: endpoint readers sleep on.
    view.worlds.mark_unchanged();
    let strict = SHOP.replace(
        text,
        "{addresses: [10.1.0.1], conditions: {ready: false, terminating: false}",
    );
    let permissive = strict.replace("mode: STRICT", "mode: PERMISSIVE");
    sender.send(changes(&permissive)).await.expect("running");
    timeout(SOON, view.snapshots.changed())
        .await
        .expect("in time")
        .expect("running");
    assert!(!view.worlds.has_changed().expect("running"));
}

#[test]
fn what_is_wrong_with_an_object_is_known_until_it_is_told_anew() {
    let shop = |weight: &str| {
        changes(&format!(
            "{{apiVersion: networking.istio.io/v1, kind: VirtualService, \
             metadata: {{name: reviews, namespace: shop}}, spec: {{hosts: [reviews], \
             http: [{{route: [{{destination: {{host: reviews}}, weight: {weight}}}]}}]}}}}"
        ))
    };
    let mut state = State::new("cluster.local", Features::default(), 0);
    state.take_in(shop("-1"));
    let found: Vec<_> = state.findings().values().collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].subject.name, "reviews");
    assert_eq!(found[0].problems.len(), 1);
    // Seen again, as when a watch begins anew.
    state.take_in(shop("-1"));
    assert_eq!(state.findings().len(), 1);
    state.take_in(shop("100"));
    assert!(state.findings().is_empty());
    state.take_in(shop("-1"));
    state.take_in(shop("x"));
    assert_eq!(
        state.findings().len(),
        1,
        "a refused object is known as well"
    );
    let removed = shop("1").iter().map(removal).collect();
    state.take_in(removed);
    assert!(state.findings().is_empty());
}
