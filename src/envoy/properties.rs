//! What holds of every world: worlds made at random, brought to the same end in different ways.

mod worlds;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use api::snapshot::World;
use mesh::{Mesh, Proxy, Scopes, VirtualHosts};
use proto::codec::{self, type_url};
use serde_json::Value;

use crate::{Memo, Resources, derive};
use worlds::{Step, proxies, steps};

fn world(steps: &[Step]) -> World {
    let mut world = World::new("cluster.local");
    for step in steps {
        step.apply(&mut world);
    }
    world
}

fn of(mesh: &Mesh, proxy: &Proxy) -> Resources {
    derive(&mesh.scope(proxy), &Memo::default())
}

/// Every resource with the objects that it comes from.
fn origins(resources: &Resources) -> Vec<String> {
    let tables = resources.tables();
    tables
        .flat_map(|(type_url, table)| {
            let of_type = table.iter();
            of_type.map(move |resource| {
                let short = type_url.rsplit('.').next().unwrap_or_default();
                let origin = resource.origin.iter().map(ToString::to_string);
                let origin: Vec<String> = origin.collect();
                format!("{short} {}: {}", resource.name, origin.join(", "))
            })
        })
        .collect()
}

fn names(resources: &Resources) -> Vec<String> {
    let tables = resources.tables();
    tables
        .flat_map(|(type_url, table)| {
            let of_type = table.iter();
            of_type.map(move |resource| {
                let short = type_url.rsplit('.').next().unwrap_or_default();
                format!("{short} {} {}", resource.name, resource.version_text())
            })
        })
        .collect()
}

#[test]
fn an_updated_mesh_equals_a_compiled_one() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let steps = steps(&mut random, 60);
        let mut world = World::new("cluster.local");
        let (mut mesh, _) = mesh::compile(world.snapshot());
        for (place, step) in steps.iter().enumerate() {
            step.apply(&mut world);
            // Snapshots may be skipped.
            if random.u8(..3) == 0 {
                continue;
            }
            let (compiled, problems) = mesh::compile(world.snapshot());
            let (updated, told) = mesh::update(&mesh, world.snapshot());
            assert!(updated == compiled, "seed {seed}, step {place}: {step:?}");
            assert_eq!(told, problems, "seed {seed}, step {place}");
            mesh = updated;
        }
    }
}

#[test]
fn what_is_known_from_before_changes_no_result() {
    for seed in 0..25 {
        let mut random = fastrand::Rng::with_seed(seed);
        let steps = steps(&mut random, 50);
        let proxies = proxies(&mut random);
        let mut world = World::new("cluster.local");
        let (mut mesh, _) = mesh::compile(world.snapshot());
        let (mut scopes, memo) = (Scopes::default(), Memo::default());
        for (place, step) in steps.iter().enumerate() {
            step.apply(&mut world);
            if random.u8(..4) != 0 {
                continue;
            }
            mesh = mesh::update(&mesh, world.snapshot()).0;
            for proxy in &proxies {
                let scope = scopes.scope(&mesh, proxy);
                assert!(
                    scope == mesh.scope(proxy),
                    "seed {seed}, step {place}: scope"
                );
                let (warm, cold) = (derive(&scope, &memo), of(&mesh, proxy));
                assert_eq!(names(&warm), names(&cold), "seed {seed}, step {place}");
                assert_eq!(origins(&warm), origins(&cold), "seed {seed}, step {place}");
                assert!(warm == cold, "seed {seed}, step {place}");
            }
            if random.bool() {
                memo.sweep();
            }
        }
    }
}

#[test]
fn the_order_of_events_does_not_matter() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let steps = steps(&mut random, 50);
        let proxies = proxies(&mut random);
        let first = world(&steps);
        let second = world(&interleaved(steps, &mut random));
        let (a, b) = (first.snapshot(), second.snapshot());
        assert_eq!(a.accounts, b.accounts, "seed {seed}");
        assert_eq!(a.spelled_out, b.spelled_out, "seed {seed}");
        assert!(a == b, "seed {seed}");
        assert_eq!(first.endpoints(), second.endpoints(), "seed {seed}");
        let (a, b) = (
            mesh::compile(first.snapshot()).0,
            mesh::compile(second.snapshot()).0,
        );
        for proxy in &proxies {
            assert_eq!(names(&of(&a, proxy)), names(&of(&b, proxy)), "seed {seed}");
        }
    }
}

#[test]
fn no_configuration_refers_to_what_it_does_not_contain() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let world = world(&steps(&mut random, 60));
        let (mesh, _) = mesh::compile(world.snapshot());
        for proxy in proxies(&mut random) {
            let resources = of(&mesh, &proxy);
            let (mut clusters, mut routes) = (BTreeSet::new(), BTreeSet::new());
            for (type_url, table) in resources.tables() {
                for resource in table.iter() {
                    let text = proto::json::text(type_url, &resource.bytes()).expect("known");
                    let value: Value = serde_json::from_str(&text).expect("JSON");
                    named(&value, "cluster", &mut clusters);
                    named(&value, "routeConfigName", &mut routes);
                }
            }
            for route in routes {
                let known = resources.get(type_url::ROUTE, &route);
                assert!(known.is_some(), "seed {seed}, {}: route {route}", proxy.id);
            }
            let known: BTreeSet<&str> = resources
                .of_type(type_url::CLUSTER)
                .map(|cluster| &*cluster.name)
                .collect();
            // A VirtualService may lead to a host that nobody declares: calls of it get 503.
            let declared = |cluster: &&String| match cluster.split('|').collect::<Vec<_>>()[..] {
                ["outbound", port, subset, host] => known
                    .iter()
                    .any(|own| subset.is_empty() && *own == format!("outbound|{port}||{host}")),
                _ => true,
            };
            for cluster in clusters.iter().filter(declared) {
                let there = known.contains(cluster.as_str());
                assert!(there, "seed {seed}, {}: cluster {cluster}", proxy.id);
            }
        }
    }
}

#[test]
fn virtual_hosts_apart_are_those_of_the_whole() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let world = world(&steps(&mut random, 60));
        let (mesh, _) = mesh::compile(world.snapshot());
        for proxy in proxies(&mut random) {
            let inline = Proxy {
                node_cluster: String::new(),
                virtual_hosts: VirtualHosts::Inline,
                ..proxy.clone()
            };
            let apart = Proxy {
                virtual_hosts: VirtualHosts::Apart,
                ..proxy
            };
            let (whole, parts) = (of(&mesh, &inline), of(&mesh, &apart));
            for resource in whole.of_type(type_url::ROUTE) {
                let mut expected = codec::decode_route(&resource.bytes()).expect("a route");
                let part = parts
                    .get(type_url::ROUTE, &resource.name)
                    .expect("the same");
                let mut found = codec::decode_route(&part.bytes()).expect("a route");
                let prefix = format!("{}/", found.name);
                let own = parts
                    .of_type(type_url::VIRTUAL_HOST)
                    .filter(|host| host.name.starts_with(&prefix));
                let own = own.map(|host| {
                    let mut host = codec::decode_virtual_host(&host.bytes()).expect("a host");
                    host.name = host.name[prefix.len()..].to_owned();
                    host
                });
                found.virtual_hosts.extend(own);
                let apart = found.vhds.take().is_some();
                assert_eq!(apart, found.virtual_hosts.len() > 1 || apart);
                let by_name =
                    |host: &proto::envoy::config::route::v3::VirtualHost| host.name.clone();
                expected.virtual_hosts.sort_by_key(by_name);
                found.virtual_hosts.sort_by_key(by_name);
                assert_eq!(found, expected, "seed {seed}");
            }
        }
    }
}

/// The same events in another order: what is told of one object comes in its own.
fn interleaved(steps: Vec<Step>, random: &mut fastrand::Rng) -> Vec<Step> {
    let mut histories: BTreeMap<String, VecDeque<Step>> = BTreeMap::new();
    for step in steps {
        histories.entry(step.object()).or_default().push_back(step);
    }
    let mut histories: Vec<VecDeque<Step>> = histories.into_values().collect();
    let mut made = Vec::new();
    while !histories.is_empty() {
        let place = random.usize(..histories.len());
        match histories[place].pop_front() {
            Some(step) => made.push(step),
            None => drop(histories.swap_remove(place)),
        }
    }
    made
}

/// Names under `key`, wherever they stand.
fn named(value: &Value, key: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == key
                    && let Some(text) = value.as_str()
                {
                    into.insert(text.to_owned());
                }
                named(value, key, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| named(item, key, into)),
        _ => {}
    }
}
